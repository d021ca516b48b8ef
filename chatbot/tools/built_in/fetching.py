"""Gets a document over HTTP for a tool: small, soon, and from the public internet only.

Redirects are followed by hand, each checked like the first address. Nothing is sent but the
request: no cookies, no credentials, and no proxy, which would resolve names by itself.
"""

import http.client
import os
import socket
import ssl
import time
from typing import Final
from urllib.parse import urljoin, urlsplit

from chatbot.errors import ToolError
from chatbot.terminal_text import clean_line
from chatbot.tools.built_in.addresses import public_addresses
from chatbot.wording import memory

MAX_BYTES: Final = 2 * 2**20
"""Longest answer."""
TIMEOUT_SECONDS: Final = 8.0
"""For everything, redirects included: less than a call may take, so that it can say why."""
MAX_REDIRECTS: Final = 3

_USER_AGENT: Final = "chatbot-glassbox"


def base_url(variable: str, default: str) -> str:
    """Where a service is: at ``default``, or where the environment variable says.

    An address that the user set this way is trusted, be it on this machine; see ``fetch``.
    """
    return (os.environ.get(variable) or default).rstrip("/")


def fetch(url: str, *, service: str, trusted: str = "", timeout: float = TIMEOUT_SECONDS) -> bytes:
    """The body of an answer.

    Args:
        url: what to get; https, unless it is ``trusted``.
        service: what the user knows the other end as, for the sentences.
        trusted: the beginning of an address (scheme, host and port) that may be local.
        timeout: seconds for everything.

    Raises:
        ToolError: there is no answer, or none that can be used; one sentence says why.
    """
    deadline = time.monotonic() + timeout
    try:
        for _ in range(MAX_REDIRECTS + 1):
            status, location, body = _get(url, service, trusted, deadline)
            if not location:
                return _checked(status, body, service)
            url = urljoin(url, location)
    except TimeoutError as error:
        raise ToolError(f"{service} did not answer in {timeout:g} seconds; try later.") from error
    except ssl.SSLError as error:
        reason = clean_line(getattr(error, "verify_message", "") or str(error), 80)
        raise ToolError(f"{service} could not be reached safely ({reason}).") from error
    except OSError as error:
        raise ToolError(f"{service} cannot be reached; is this machine offline?") from error
    except (http.client.HTTPException, ValueError) as error:
        raise ToolError(f"{service} sent something that is no answer; try later.") from error
    raise ToolError(f"{service} redirects too often; try later.")


def _checked(status: int, body: bytes, service: str) -> bytes:
    if status == 429:
        raise ToolError(f"{service} allows no more requests for now; try again in a while.")
    if status != 200:
        raise ToolError(f"{service} failed (HTTP status {status}); try later.")
    return body


def _get(url: str, service: str, trusted: str, deadline: float) -> tuple[int, str, bytes]:
    """Status, target of the redirect if it is one, and body of a single request."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    is_trusted = bool(trusted) and origin(url) == origin(trusted)
    if not is_trusted and parts.scheme != "https":
        raise ToolError(f"{service} led to {clean_line(url, 80)}, which is not opened.")
    addresses = [host] if is_trusted else public_addresses(host, port)
    connection = _connect(parts.scheme, host, addresses, port, deadline)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        if 300 <= answer.status < 400:
            return answer.status, answer.getheader("Location") or "/", b""
        return answer.status, "", _read(answer, connection.sock, service, deadline)
    finally:
        connection.close()


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of an address."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port


def _connect(
    scheme: str, host: str, addresses: list[str], port: int, deadline: float
) -> http.client.HTTPConnection:
    """A connection to the first address that takes one; the host's name is still the one that
    is asked for and that the certificate must be for."""
    failure: OSError = OSError("no address")
    for address in addresses:
        try:
            sock = socket.create_connection((address, port), _left(deadline))
            if scheme == "https":
                sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
        except TimeoutError:
            raise
        except OSError as error:
            failure = error
            continue
        connection = http.client.HTTPConnection(host, port)
        connection.sock = sock
        return connection
    raise failure


def _read(
    answer: http.client.HTTPResponse, sock: socket.socket | None, service: str, deadline: float
) -> bytes:
    body = bytearray()
    while chunk := answer.read1(65536):
        body += chunk
        if len(body) > MAX_BYTES:
            raise ToolError(f"{service} sent more than {memory(MAX_BYTES)}, which is too much.")
        left = _left(deadline)
        if sock is not None and sock.fileno() >= 0:
            sock.settimeout(left)
    if answer.length:
        raise http.client.IncompleteRead(bytes(body), answer.length)
    return bytes(body)


def _left(deadline: float) -> float:
    """Seconds until the deadline.

    Raises:
        TimeoutError: it has passed.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
