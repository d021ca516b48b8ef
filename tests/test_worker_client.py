"""The client against a real process: a small worker whose script is at the top."""

import asyncio
import os
import signal
import stat
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from chatbot.errors import WorkerError
from chatbot.worker.client import STOP_SECONDS, WorkerProcess, describe_exit
from chatbot.worker.protocol import Event, Request

SCRIPT = """
import os, subprocess, sys, threading, time
import msgspec
from chatbot.worker.protocol import Request
from chatbot.worker.server import Channel
from test_worker_vocabulary import Do, Done, Part

channel = Channel(Do)
print("a library says hello")
for request in channel.requests():
    match request.action:
        case "count":
            for n in range(request.times):
                channel.send(Part(request_id=request.id, n=n))
            channel.send(Done(request_id=request.id))
        case "count slowly":
            def work(request=request):
                for n in range(request.times):
                    channel.send(Part(request_id=request.id, n=n))
                    time.sleep(0.02)
                channel.send(Done(request_id=request.id))
            threading.Thread(target=work).start()
        case "print":
            print("to stdout")
            os.write(1, b"to file descriptor 1\\n")
            subprocess.run(["echo", "from a child"])
            channel.send(Done(request_id=request.id))
        case "ask for input":
            channel.send(Part(request_id=request.id, n=len(sys.stdin.read())))
            channel.send(Done(request_id=request.id))
        case "start":
            channel.send(Part(request_id=request.id, n=0))
        case "garbage":
            channel._events.write(b"Traceback: \\x1b]52;c;x\\x07 not JSON\\n")
        case "latin-1":
            channel._events.write(b'{"type": "Do\\xffne", "request_id": 1}\\n')
        case "exit":
            os._exit(request.times)
        case "hang":
            channel.send(Part(request_id=request.id, n=0))
            threading.Event().wait()
        case "fork and hang":
            if os.fork():
                channel.send(Part(request_id=request.id, n=0))
            threading.Event().wait()
"""

VOCABULARY = """
from typing import ClassVar
from chatbot.worker.protocol import Event, Request

class Do(Request, frozen=True, kw_only=True):
    action: str
    times: int = 0

class Part(Event, frozen=True, kw_only=True):
    n: int

class Done(Event, frozen=True, kw_only=True):
    is_last: ClassVar[bool] = True
"""


class Do(Request, frozen=True, kw_only=True):
    action: str
    times: int = 0


class Part(Event, frozen=True, kw_only=True):
    n: int


class Done(Event, frozen=True, kw_only=True):
    is_last: ClassVar[bool] = True


Worker = WorkerProcess[Part | Done]
Start = Callable[[], Awaitable[Worker]]


@pytest.fixture
async def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    """Start the scripted worker; whatever a test leaves running is killed after it."""
    script = tmp_path / "scripted_worker.py"
    script.write_text(SCRIPT)
    (tmp_path / "test_worker_vocabulary.py").write_text(VOCABULARY)
    repository = Path(__file__).parent.parent
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(repository)]))
    workers: list[Worker] = []

    async def start_one() -> Worker:
        worker: Worker = await WorkerProcess.start(
            [sys.executable, str(script)],
            Part | Done,
            name="the worker",
            log_file=tmp_path / "logs" / "worker.log",
        )
        workers.append(worker)
        return worker

    yield start_one
    for worker in workers:
        if worker.is_alive:
            os.killpg(worker.pid, signal.SIGKILL)
        await worker.stop()


async def collect(worker: Worker, action: str, times: int = 0) -> list[int | str]:
    """The numbers of all parts, and 'done'."""
    return [
        event.n if isinstance(event, Part) else "done"
        async for event in worker.call(Do(action=action, times=times))
    ]


async def first_then_error(worker: Worker, action: str, then: Callable[[], object]) -> str:
    """Await the first event of a call, do ``then``, and return the error that follows."""
    events = aiter(worker.call(Do(action=action)))
    await anext(events)
    then()
    with pytest.raises(WorkerError) as caught:
        await anext(events)
    return str(caught.value)


async def test_a_call_yields_its_events_up_to_the_last(start: Start) -> None:
    worker = await start()
    assert await collect(worker, "count", 3) == [0, 1, 2, "done"]
    assert await collect(worker, "count", 1) == [0, "done"]
    assert worker.is_alive


async def test_calls_may_interleave(start: Start) -> None:
    worker = await start()
    slow, fast, other = await asyncio.gather(
        collect(worker, "count slowly", 10),
        collect(worker, "count", 2),
        collect(worker, "count slowly", 5),
    )
    assert (slow, fast, other) == (
        [*range(10), "done"],
        [0, 1, "done"],
        [*range(5), "done"],
    )


async def test_many_events_arrive_in_order(start: Start) -> None:
    worker = await start()
    assert await collect(worker, "count", 20_000) == [*range(20_000), "done"]


async def test_an_abandoned_call_disturbs_no_other(start: Start) -> None:
    worker = await start()
    async for _ in worker.call(Do(action="count slowly", times=20)):
        break
    assert await collect(worker, "count", 2) == [0, 1, "done"]


async def test_prints_go_into_the_log_and_not_into_the_protocol(
    start: Start, tmp_path: Path
) -> None:
    worker = await start()
    assert await collect(worker, "print") == ["done"]
    await worker.stop()
    assert stat.S_IMODE((tmp_path / "logs").stat().st_mode) == 0o700
    log = (tmp_path / "logs" / "worker.log").read_text()
    for text in ("a library says hello", "to stdout", "to file descriptor 1", "from a child"):
        assert text in log


async def test_a_library_that_reads_input_gets_none_of_the_requests(start: Start) -> None:
    worker = await start()
    assert await collect(worker, "ask for input") == [0, "done"]


async def test_a_request_that_is_not_understood_is_logged_and_skipped(
    start: Start, tmp_path: Path
) -> None:
    class Other(Request, frozen=True, kw_only=True):
        pass

    worker = await start()
    worker.send(Other())
    assert await collect(worker, "count", 1) == [0, "done"]
    assert "not a request" in (tmp_path / "logs" / "worker.log").read_text()


async def test_killed_in_mid_call(start: Start) -> None:
    worker = await start()
    text = await first_then_error(worker, "hang", lambda: os.kill(worker.pid, signal.SIGKILL))
    assert text.startswith("The worker was killed (SIGKILL")
    assert text.endswith("a new one is started.")
    assert not worker.is_alive
    with pytest.raises(WorkerError, match="was killed"):
        worker.call(Do(action="count"))


async def test_crashed_in_mid_call(start: Start) -> None:
    worker = await start()
    text = await first_then_error(worker, "hang", lambda: os.kill(worker.pid, signal.SIGSEGV))
    assert "crashed (SIGSEGV)" in text


async def test_exit_fails_every_open_call(start: Start) -> None:
    worker = await start()
    opened = [asyncio.create_task(collect(worker, "start")) for _ in range(3)]
    ending = asyncio.create_task(collect(worker, "exit", 3))
    results = await asyncio.gather(*opened, ending, return_exceptions=True)
    assert [type(result) for result in results] == [WorkerError] * 4
    assert "ended unexpectedly (exit status 3)" in str(results[0])
    assert "exit status 3" in str(await worker.wait())


@pytest.mark.parametrize("action", ["garbage", "latin-1"])
async def test_an_unreadable_line_ends_the_worker(start: Start, action: str) -> None:
    worker = await start()
    with pytest.raises(WorkerError, match="sent something unreadable") as caught:
        await collect(worker, action)
    assert "\x1b" not in str(caught.value)
    assert not worker.is_alive


async def test_stop_ends_a_worker_by_closing_its_input(start: Start) -> None:
    worker = await start()
    await collect(worker, "count", 1)
    started = time.monotonic()
    await worker.stop()
    assert time.monotonic() - started < STOP_SECONDS
    assert not worker.is_alive
    await worker.stop()


@pytest.mark.parametrize("action", ["hang", "fork and hang"])
async def test_stop_kills_a_worker_that_does_not_listen(start: Start, action: str) -> None:
    worker = await start()
    events = aiter(worker.call(Do(action=action)))
    await anext(events)
    started = time.monotonic()
    await worker.stop()
    assert STOP_SECONDS - 0.1 <= time.monotonic() - started < STOP_SECONDS + 2
    with pytest.raises(WorkerError, match="was stopped"):
        await anext(events)


async def test_a_worker_ends_when_its_client_is_gone(start: Start) -> None:
    worker = await start()
    await collect(worker, "count", 1)
    worker._process.stdin.close()  # type: ignore[union-attr]
    assert "exit status 0" in str(await asyncio.wait_for(worker.wait(), 5))


async def test_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"The worker could not be started: .*no-such-program"):
        await WorkerProcess.start(
            ["/no-such-program"], Done, name="the worker", log_file=tmp_path / "log"
        )


async def print_to(log_file: Path, text: str) -> Worker:
    """A worker that prints ``text`` as soon as something is said to it, and then ends."""
    script = f"import sys; sys.stdin.readline(); sys.stderr.write({text!r})"
    return await WorkerProcess.start(
        [sys.executable, "-S", "-c", script], Done, name="the worker", log_file=log_file
    )


async def test_workers_of_one_log_leave_what_the_others_print(tmp_path: Path) -> None:
    """The first one prints on after the second was started, and a third finds the trace of both."""
    log_file = tmp_path / "worker.log"
    first, second = await print_to(log_file, "A" * 400), await print_to(log_file, "B" * 400)
    for worker in (first, second):
        worker.send(Do(action="print"))
        await worker.wait()
    await (await print_to(log_file, "")).stop()
    began, lines = "--- the worker, started ", log_file.read_text().splitlines()
    assert [line.startswith(began) for line in lines] == [True, True, False]
    assert lines[2].startswith("A" * 400 + "B" * 400 + began)


async def test_a_long_log_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatbot.worker.log.MAX_LOG_BYTES", 100)
    log_file = tmp_path / "worker.log"
    first, second = await print_to(log_file, "A" * 400), await print_to(log_file, "B" * 400)
    first.send(Do(action="print"))
    await first.wait()
    third = await print_to(log_file, "")
    second.send(Do(action="print"))  # its log is the old one by now
    await second.wait()
    await third.stop()
    assert log_file.read_text().count("\n") == 1
    assert stat.S_IMODE(log_file.stat().st_mode) == 0o600
    old = tmp_path / "worker.log.old"
    assert old.read_text().endswith("A" * 400 + "B" * 400)


async def test_a_long_log_that_cannot_be_put_aside_grows_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatbot.worker.log.MAX_LOG_BYTES", 3)
    (tmp_path / "worker.log.old").mkdir()
    log_file = tmp_path / "worker.log"
    log_file.write_text("kept\n")
    await (await print_to(log_file, "")).stop()
    assert log_file.read_text().startswith("kept\n---")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no such device here")
async def test_a_log_on_a_full_disk_keeps_no_worker_from_its_work() -> None:
    worker = await print_to(Path("/dev/full"), "")
    assert worker.is_alive
    await worker.stop()


async def test_a_worker_that_prints_on_and_on_does_not_fill_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it printed at first stays, and so does what it prints last."""
    monkeypatch.setattr("chatbot.worker.log.MAX_LOG_BYTES", 200)
    monkeypatch.setattr("chatbot.worker.log.MAX_GROWN_BYTES", 10_000)
    monkeypatch.setattr("chatbot.worker.log._LOOK_SECONDS", 0.001)
    log_file = tmp_path / "worker.log"
    script = (
        "import os, sys, time; os.write(2, b'first' + b'x' * 50_000)\n"
        "while os.fstat(2).st_size > 10_000: time.sleep(0.001)\n"
        "os.write(2, b'last')"
    )
    worker: Worker = await WorkerProcess.start(
        [sys.executable, "-S", "-c", script], Done, name="the worker", log_file=log_file
    )
    await asyncio.wait_for(worker.wait(), 10)
    text = log_file.read_text()
    assert len(text) == 204
    assert "first" in text
    assert text.endswith("last")


async def test_what_a_worker_printed_at_its_end_is_cut_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatbot.worker.log.MAX_GROWN_BYTES", 10_000)
    monkeypatch.setattr("chatbot.worker.log.MAX_LOG_BYTES", 200)
    worker = await print_to(tmp_path / "worker.log", "A" * 50_000)
    worker.send(Do(action="print"))
    await worker.stop()
    assert (tmp_path / "worker.log").stat().st_size == 200


async def test_a_log_that_cannot_be_opened_keeps_no_worker_from_its_work(tmp_path: Path) -> None:
    (tmp_path / "logs").touch()  # where its folder would be
    for log_file in (tmp_path, tmp_path / "logs" / "worker.log"):
        worker = await print_to(log_file, "text")
        worker.send(Do(action="print"))
        assert "exit status 0" in str(await worker.wait())


async def test_too_little_address_space_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (600 * 2**20, -1))
    with pytest.raises(WorkerError, match=r"more than the 600 MiB .* raise ulimit -v to 2097152"):
        await print_to(tmp_path / "log", "text")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (-9, "was killed (SIGKILL"),
        (-11, "crashed (SIGSEGV)"),
        (-signal.SIGVTALRM, "was ended because a file of the model"),
        (-99, "crashed (signal 99)"),
        (1, "ended unexpectedly (exit status 1)"),
    ],
)
def test_how_a_process_ended_in_words(status: int, words: str) -> None:
    assert describe_exit(status).startswith(words)


def test_events_carry_their_type() -> None:
    assert msgspec.json.encode(Part(request_id=1, n=2)) == b'{"type":"Part","request_id":1,"n":2}'
