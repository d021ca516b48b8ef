"""Waiting for something that the user may not want to wait for any longer."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

ResultT = TypeVar("ResultT")


class Stopped(Exception):  # noqa: N818 - not an error: the user's wish
    """The user stopped what was waited for."""


async def until_stopped(work: Awaitable[ResultT], stop: asyncio.Event) -> ResultT:
    """Await ``work``, unless the user stops it first.

    Raises:
        Stopped: the user did; the work is cancelled.
    """
    task = asyncio.ensure_future(work)
    wish = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, wish}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Stopped
        return task.result()
    finally:
        wish.cancel()
        task.cancel()


def ignore_outcome(work: "asyncio.Future[ResultT]") -> None:
    """Have asyncio not complain of how ``work`` ended, where nobody waits for it any more."""
    work.add_done_callback(lambda done: done.cancelled() or done.exception())
