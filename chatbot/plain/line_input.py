"""One line of standard input at a time, without holding up the event loop."""

import asyncio
import sys
import threading


async def read_line(prompt: str) -> str | None:
    """One line of standard input without its end, or None at the end of input.

    Read in a daemon thread: a read cannot be called off, and must not hold up leaving.
    """
    loop = asyncio.get_running_loop()
    line: asyncio.Future[str | None] = loop.create_future()

    def deliver(text: str | None) -> None:
        if not line.done():
            line.set_result(text)

    def read() -> None:
        try:
            if prompt and sys.stdout.isatty():
                result: str | None = input(prompt)
            else:  # input() would put the prompt among the answers
                print(prompt, end="", file=sys.stderr, flush=True)
                text = sys.stdin.readline()
                result = text.rstrip("\n") if text else None
        except (EOFError, OSError, ValueError):
            result = None
        if not loop.is_closed():
            loop.call_soon_threadsafe(deliver, result)

    threading.Thread(target=read, daemon=True).start()
    return await line
