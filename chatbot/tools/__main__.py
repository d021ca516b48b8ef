"""A tool process: ``python -m chatbot.tools``. Serves one request, and ends.

One process for each call: a call that hangs is killed without any other noticing, and nothing
that one leaves behind reaches the next.
"""

import os

from chatbot.tools.limits import limit_memory
from chatbot.tools.protocol import ToolRequest
from chatbot.tools.server import serve
from chatbot.worker.server import Channel


def main() -> None:
    """Serve one request."""
    limit_memory()
    channel: Channel[ToolRequest] = Channel(ToolRequest)
    for request in channel.requests():
        channel.send(serve(request))
        # At once: threads that a tool left running are not waited for.
        os._exit(0)


if __name__ == "__main__":
    main()
