"""A reading process in which text files do what their name says: hang, crash, take all memory."""

import ctypes
import os
import signal
import time

from chatbot.retrieval.documents import __main__ as program
from chatbot.retrieval.documents.document import Document
from chatbot.retrieval.documents.formats import text

MAX_MEMORY_BYTES = 512 * 2**20

_read = text.read


def read(name: str, kind: str, content: bytes) -> Document:
    match name.split(".")[0].split("-")[0]:
        case "started":
            # Creating files is not held back, only writing into them.
            open(content, "w").close()
        case "hang":
            open(content, "w").close()
            while True:
                pass
        case "sleep":
            time.sleep(3600)
        case "eat":
            hoard = []
            while True:
                hoard.append(bytearray(2**24))
        case "crash":
            ctypes.string_at(0)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "leave":
            os._exit(3)
        case "babble":
            os.write(4, b"\xff" * 100)
            time.sleep(3600)
        case "print":
            print("a library says something")
        case "write":
            with open(content, "w") as file:
                file.write("x" * 100_000)
        case "raise":
            raise ZeroDivisionError
    return _read(name, kind, content)


if __name__ == "__main__":
    text.read = read
    program.main(MAX_MEMORY_BYTES)
