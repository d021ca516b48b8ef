"""llama.cpp on the same machine, where its Python package is installed."""

import importlib.util
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chatbot.errors import ModelError
from chatbot.weights import SMOLLM2


class LlamaCpp:
    """A GGUF model in llama.cpp."""

    def __init__(self, model: str, context_length: int) -> None:
        """Load ``model``, a GGUF file or the model that comes with the program.

        Raises:
            ModelError: there is no llama.cpp, or no GGUF file of that model.
        """
        if importlib.util.find_spec("llama_cpp") is None:
            raise ModelError(
                "To compare with llama.cpp its package is needed; run: pip install "
                "llama-cpp-python."
            )
        file = SMOLLM2.find() if model == "smollm2-135m" else Path(model).expanduser()
        if file is None or file.suffix != ".gguf" or not file.is_file():
            raise ModelError("llama.cpp reads GGUF files alone; give one with -m.")
        try:
            import llama_cpp  # type: ignore[import-not-found, unused-ignore]
        except Exception as error:  # its library is missing, or made for another processor
            raise ModelError(
                f"llama.cpp cannot be used ({error}); run: pip install --force-reinstall "
                "llama-cpp-python."
            ) from error

        self._model: Any = llama_cpp.Llama(
            str(file), n_ctx=context_length, n_threads=os.cpu_count(), verbose=False
        )

    def speed(self, prompt: list[int], num_tokens: int) -> float:
        """Tokens a second of a greedy answer after its first token."""
        tokens = self._answer(prompt)
        next(tokens)
        start = time.perf_counter()
        for _ in range(num_tokens - 1):
            next(tokens)
        return (num_tokens - 1) / (time.perf_counter() - start)

    def first_token(self, prompt: list[int]) -> float:
        """Seconds to the first token after ``prompt``, of which nothing was read before."""
        start = time.perf_counter()
        next(self._answer(prompt))
        return time.perf_counter() - start

    def _answer(self, prompt: list[int]) -> Iterator[int]:
        self._model.reset()
        tokens: Iterator[int] = self._model.generate(prompt, temp=0.0)
        return tokens
