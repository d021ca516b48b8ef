"""A web server on this machine that stands in for the weather service and the search page."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

PARIS = {
    "name": "Paris",
    "admin1": "Île-de-France",
    "country": "France",
    "country_code": "FR",
    "latitude": 48.85,
    "longitude": 2.35,
}
PARIS_IN_TEXAS = {
    "name": "Paris",
    "admin1": "Texas",
    "country": "United States",
    "country_code": "US",
    "latitude": 33.66,
    "longitude": -95.55,
}
WEATHER = {
    "current": {
        "time": "2026-05-01T12:00",
        "temperature_2m": 18.4,
        "apparent_temperature": 17,
        "relative_humidity_2m": 55,
        "weather_code": 61,
        "wind_speed_10m": 12.5,
    },
    "daily": {
        "time": ["2026-05-01", "2026-05-02"],
        "weather_code": [61, 0],
        "temperature_2m_min": [9.5, 8],
        "temperature_2m_max": [19, 22.5],
        "precipitation_probability_max": [80, None],
    },
}
SEARCH_PAGE = """<html><body>
<div class="result__body"><h2>Snakes of the world</h2>
<a href="https://example.org/snakes">All about <b>pythons</b>\x1b]52;c;eA==\x07.</a></div>
<div class="result__body"><h2>The language</h2>
<a href="https://example.org/python">Python is a language.</a></div>
</body></html>"""


class StandIn:
    """Answers as ``mode`` says, and notes what it was asked."""

    def __init__(self) -> None:
        self.mode = "good"
        self.location = ""
        """Where the mode ``redirect`` leads."""
        self.requests: list[tuple[str, dict[str, list[str]]]] = []
        self.released = threading.Event()
        """Ends the mode ``hang``."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                pass

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                self._reply(parse_qs(self.rfile.read(length).decode()))

            def do_GET(self) -> None:
                self._reply(parse_qs(urlsplit(self.path).query))

            def _reply(self, query: dict[str, list[str]]) -> None:
                path = urlsplit(self.path).path
                stand_in.requests.append((path, query))
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self._answer(path)

            def _answer(self, path: str) -> None:
                match stand_in.mode:
                    case "good":
                        self._send(200, stand_in.good(path))
                    case "garbage":
                        self._send(200, b"\x00\xff<!-- {[ \x1b[2J")
                    case "wrong shape":
                        self._send(200, b'{"results": [17], "current": 4}')
                    case "no place":
                        self._send(200, b"{}")
                    case "empty":
                        self._send(200, b"<html><body></body></html>")
                    case "huge":
                        self.send_response(200)
                        self.end_headers()
                        for _ in range(50):
                            self.wfile.write(b"x" * 2**20)
                    case "short":
                        self.send_response(200)
                        self.send_header("Content-Length", "1000")
                        self.end_headers()
                        self.wfile.write(b"{")
                    case "hang":
                        stand_in.released.wait(60)
                    case "redirect":
                        self.send_response(302)
                        self.send_header("Location", stand_in.location)
                        self.end_headers()
                    case status:
                        self._send(int(status), b"no")

            def _send(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        return Handler

    @staticmethod
    def good(path: str) -> bytes:
        answers: dict[str, Any] = {
            "/v1/search": {"results": [PARIS, PARIS_IN_TEXAS]},
            "/v1/forecast": WEATHER,
        }
        return json.dumps(answers[path]).encode() if path in answers else SEARCH_PAGE.encode()
