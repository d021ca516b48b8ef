"""The user's own documents: read, cut into passages, indexed, searched.

Happens in a process of its own, ``python -m chatbot.retrieval``; the rest of the program knows
its client, its protocol and its values. Knows nothing of the language model or of screens.
"""
