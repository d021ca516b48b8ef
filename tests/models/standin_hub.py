"""A model hub on this machine: the few pages that a download asks for, over real HTTP."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "1234567890abcdef1234567890abcdef12345678"


class StandInHub:
    """What it serves, what it does wrong, and what it was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.hub_id = "tiny/model"
        self.token = ""
        """With one set, others are refused as a gated model refuses them."""
        self.is_gated_at_files = False
        """Lets everybody see the model's page, and only ``token`` its files."""
        self.break_off_at: int | None = None
        """Each answer with a file ends after so many bytes, without a word."""
        self.num_breaks = 0
        """How many answers do; then they come whole."""
        self.claimed: dict[str, int] = {}
        """Sizes that the page gives in place of the true ones."""
        self.altered: dict[str, bytes] = {}
        """Contents that are sent in place of those that the hashes are of."""
        self.status = 0
        """Answer everything with this status."""
        self.ignores_ranges = False
        self.requests: list[tuple[str, str, str]] = []
        """Path, range and token of each request."""
        self.url = ""
        self.gate = threading.Event()
        """Files wait for it; set unless a test clears it."""
        self.gate.set()
        self.is_sending = threading.Event()

    def page(self) -> dict[str, Any]:
        siblings = []
        for name, content in self.files.items():
            entry: dict[str, Any] = {
                "rfilename": name,
                "size": self.claimed.get(name, len(content)),
                "blobId": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(),
            }
            if name.endswith((".safetensors", ".bin", ".gguf")):
                digest = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
            siblings.append(entry)
        return {"id": self.hub_id, "sha": COMMIT, "siblings": siblings, "tags": []}

    def num_sent(self, name: str) -> int:
        return sum(path.endswith(f"/{name}") for path, _, _ in self.requests)


class _Handler(BaseHTTPRequestHandler):
    hub: StandInHub

    def do_GET(self) -> None:
        hub = self.hub
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        path = self.path.split("?")[0]
        hub.requests.append((path, self.headers.get("Range", ""), token))
        if hub.status:
            self._send(hub.status, b"")
        elif path in (page := f"/api/models/{hub.hub_id}", f"{page}/revision/{COMMIT}"):
            if hub.token and token != hub.token and not hub.is_gated_at_files:
                self._refuse(token)
            else:
                self._send(200, json.dumps(hub.page()).encode())
        elif path.startswith(f"/{hub.hub_id}/resolve/{COMMIT}/"):
            if hub.token and token != hub.token:
                self._refuse(token)
            else:
                self._send_file(path.rsplit("/", 1)[1])
        else:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"})

    def _refuse(self, token: str) -> None:
        self._send(403 if token else 401, b"", {"X-Error-Code": "GatedRepo"})

    def _send_file(self, name: str) -> None:
        hub = self.hub
        content = hub.altered.get(name, hub.files[name])
        start = 0
        wanted = self.headers.get("Range", "")
        if wanted and not hub.ignores_ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        rest = content[start:]
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if hub.break_off_at is not None and hub.num_breaks and name.endswith(".safetensors"):
            hub.num_breaks -= 1
            rest = rest[: hub.break_off_at]
        half = len(rest) // 2
        self.close_connection = True
        with contextlib.suppress(ConnectionError):  # whoever asked may have gone meanwhile
            self.wfile.write(rest[:half])
            self.wfile.flush()
            if name.endswith(".safetensors"):
                hub.is_sending.set()
                hub.gate.wait(60)
            self.wfile.write(rest[half:])

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[StandInHub]:
    """A hub for as long as this lasts."""
    hub = StandInHub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.gate.set()
        server.shutdown()
        server.server_close()
