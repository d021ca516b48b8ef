"""How well and how fast the folders are searched, beside the obvious ways of doing it.

``python -m chatbot.retrieval.benchmark``, which users reach as ``chatbot bench retrieval``. The
baselines are measured in the same run, so that figures of different machines need not be compared.
"""
