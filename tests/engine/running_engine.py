"""A real engine process, for tests to speak to."""

import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any


class RunningEngine:
    """A real engine process, spoken to in plain JSON."""

    LAST = (
        "Loaded",
        "Failed",
        "Generated",
        "VariantsGenerated",
        "Counted",
        "Rendered",
        "Adapted",
        "Prepared",
    )

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._log = log.open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "chatbot.engine"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, **environment},
        )
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()
        self._num_requests = 0
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, kind: str, **fields: Any) -> int:
        """Send a request; returns its id."""
        self._num_requests += 1
        request = {"type": kind, "id": self._num_requests, **fields}
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        return self._num_requests

    def next(self) -> dict[str, Any]:
        """The next event."""
        return self._events.get(timeout=100)

    def rest(self) -> list[dict[str, Any]]:
        """All events up to the last of the present request."""
        events = [self.next()]
        while events[-1]["type"] not in self.LAST:
            events.append(self.next())
        return events

    def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Send a request; returns its last event."""
        self.send(kind, **fields)
        return self.rest()[-1]

    def end(self) -> int:
        """Close the pipe; returns the exit status."""
        self.process.stdin.close()
        status = self.process.wait(timeout=20)
        self._log.close()
        return status

    def _read(self) -> None:
        for line in self.process.stdout:
            self._events.put(json.loads(line))
        self._events.put({"type": "Failed", "message": "the process has ended", "kind": "end"})
