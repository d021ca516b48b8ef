"""The reading process: ``python -m chatbot.retrieval.documents``. Reads, and knows no index.

Takes requests on standard input and answers them, in their order, on standard output.
"""

import os
import traceback
from pathlib import Path
from typing import Final

import msgspec

from chatbot.retrieval.documents.document import DocumentError
from chatbot.retrieval.documents.formats import markdown, text  # noqa: F401  (most files need them)
from chatbot.retrieval.documents.reading import read_document
from chatbot.retrieval.documents.sandbox import MAX_MEMORY_BYTES, limit_cpu, set_limits
from chatbot.retrieval.documents.wire import RESTART_STATUS, Answer, Messages, ReadRequest, framed

MAX_CPU_SECONDS_PER_FILE: Final = 60

_PIPE_BYTES: Final = 2**16
_OUT_OF_MEMORY: Final = "Reading it takes too much memory; split it to have it read."


def main(max_memory_bytes: int = MAX_MEMORY_BYTES) -> None:
    """Serve until the reader goes away."""
    requests, answers = os.dup(0), os.dup(1)
    set_limits(max_memory_bytes)
    # What a library prints must not get between the answers; nor into a log, which is a file.
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    os.close(null)
    encoder = msgspec.msgpack.Encoder()
    decoder = msgspec.msgpack.Decoder(ReadRequest)
    try:
        _send(answers, encoder.encode(Answer()))
        messages = Messages()
        while data := os.read(requests, _PIPE_BYTES):
            messages.feed(data)
            while (message := messages.take()) is not None:
                limit_cpu(MAX_CPU_SECONDS_PER_FILE)
                answer, is_out_of_memory = _answer(decoder.decode(message), encoder)
                _send(answers, answer)
                if is_out_of_memory:
                    # What has once been scattered over all memory hardly comes back.
                    os._exit(RESTART_STATUS)
    except BrokenPipeError:
        os._exit(0)  # the reader is gone, and with it the reason to run


def _answer(request: ReadRequest, encoder: msgspec.msgpack.Encoder) -> tuple[bytes, bool]:
    """The answer, and whether memory ran out on the way to it."""
    try:
        document = read_document(Path(os.fsdecode(request.folder)), os.fsdecode(request.file))
        return encoder.encode(Answer(document)), False
    except DocumentError as error:
        return encoder.encode(Answer(problem=str(error))), False
    except MemoryError:
        return encoder.encode(Answer(problem=_OUT_OF_MEMORY)), True
    except Exception as error:
        # A format met something that its author did not think of; the next file is another.
        problem = f"It is damaged: reading it failed ({type(error).__name__})."
        return encoder.encode(Answer(problem=problem, trace=traceback.format_exc())), False


def _send(answers: int, message: bytes) -> None:
    rest = memoryview(framed(message))
    while rest:
        rest = rest[os.write(answers, rest) :]


if __name__ == "__main__":
    main()
