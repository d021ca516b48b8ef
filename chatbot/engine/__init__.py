"""One language model: its weights, its prompt, its cache, its token loop, its sampling.

``protocol`` and ``client`` are for the rest of the program and import no torch; everything
else runs in the engine process (``python -m chatbot.engine``). Nothing here knows of
conversations, tools or screens.
"""
