"""Every way in which the libraries underneath fail, as one sentence a user can act on."""

import errno

import torch

from chatbot.errors import ChatbotError, ModelError
from chatbot.models.library_errors import first_sentence, is_disk_full


def overflow_error() -> ModelError:
    """The model's output is not a number."""
    return ModelError(
        "The model's numbers overflowed in this precision; load it with precision bf16 or fp32."
    )


def memory_error(what: str) -> ModelError:
    """Memory ran out while ``what`` was done: ``loading org/name``."""
    return ModelError(
        f"Memory ran out while {what}; choose a smaller model, a smaller precision (bf16, fp16), "
        "or a shorter context."
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is any of the forms in which memory runs out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    # The CPU allocator raises a plain RuntimeError.
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "not enough memory" in text or "out of memory" in text or "cannot allocate memory" in text
    )


def is_device_lost(error: BaseException | None) -> bool:
    """Whether the GPU refuses all further work of this process, as after a CUDA error."""
    while error is not None:
        if isinstance(error, torch.AcceleratorError) and not is_out_of_memory(error):
            return True
        error = error.__cause__ if error.__cause__ is not error else None  # raised from itself
    return False


def is_panic(error: BaseException) -> bool:
    """Whether a library in Rust gave up, as over an expression that takes for ever to match.

    Each of them has a class of its own for that, outside ``Exception`` and of no module.
    """
    return type(error).__name__ == "PanicException"


def as_chatbot_error(error: BaseException, what: str) -> ChatbotError:
    """``error`` as one that may be shown.

    Args:
        error: anything that was raised.
        what: what was being done: ``loading org/name``.
    """
    if isinstance(error, ChatbotError):
        return error
    if is_out_of_memory(error):
        return memory_error(what)
    if is_device_lost(error):
        return ModelError(
            f"The GPU failed while {what} ({first_sentence(error)}); send your message again and "
            "a new engine is started."
        )
    if is_disk_full(error):
        return ModelError(f"The disk is full, so {what} failed; free some space and try again.")
    if is_panic(error):
        return ModelError(
            f"A library gave up while {what} ({first_sentence(error)}); use another model."
        )
    return ModelError(f"An error occurred while {what}: {first_sentence(error)}.")
