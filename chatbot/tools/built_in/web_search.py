"""A search of the web through ddgs, which asks public search pages as a browser would.

ddgs is given an HTTP client that opens https addresses of the public internet only, follows
redirects by hand, each checked, and reads no more than a page can hold. The hosts are fixed by
ddgs and prove themselves by their certificates, so that a name server that lies between the
check and the connection gains nothing. Titles and excerpts are text of strangers.
"""

from typing import Annotated, Any, Final
from urllib.parse import urljoin, urlsplit

import msgspec

from chatbot.errors import ToolError
from chatbot.terminal_text import clean_line
from chatbot.tools.built_in.addresses import public_addresses
from chatbot.tools.built_in.fetching import MAX_BYTES, MAX_REDIRECTS, base_url, origin
from chatbot.tools.built_in.parameters import Line
from chatbot.tools.decorator import tool
from chatbot.wording import memory

SERVICE: Final = "The web search"
MAX_RESULTS: Final = 10
TIMEOUT_SECONDS: Final = 4
"""For one search page; ddgs asks several, two at a time, until it has enough."""

SEARCH_VARIABLE: Final = "CHATBOT_SEARCH_URL"
"""Names another page that answers as html.duckduckgo.com does, which then alone is asked."""

_ENGINES: Final = "duckduckgo,brave,mojeek,yahoo,wikipedia"


@tool(reaches_network=True, writes=False)
def search_web(
    query: Line, max_results: Annotated[int, msgspec.Meta(ge=1, le=MAX_RESULTS)] = 5
) -> str:
    """Search the web and return titles, addresses and excerpts of the best pages.

    Args:
        query: A few words to search for.
        max_results: How many pages, 1 to 10.
    """
    if not query.strip():
        raise ToolError("Give a few words to search for.")
    if not 1 <= max_results <= MAX_RESULTS:
        raise ToolError(f"Ask for 1 to {MAX_RESULTS} results.")
    results = _search(query.strip()[:400], max_results)
    lines = []
    for number, result in enumerate(results[:max_results], 1):
        title = clean_line(str(result.get("title") or ""), 200)
        address = clean_line(str(result.get("href") or ""), 500)
        excerpt = clean_line(str(result.get("body") or ""), 500)
        lines.append(f"{number}. {title}\n   {address}\n   {excerpt}")
    return "\n".join(lines)


def _search(query: str, max_results: int) -> list[dict[str, Any]]:
    try:
        import ddgs.base
        import ddgs.exceptions
        from ddgs import DDGS
        from ddgs.engines import ENGINES
    except ImportError as error:
        raise ToolError("search_web needs a library: run pip install ddgs.") from error
    failures: list[str] = []
    page = base_url(SEARCH_VARIABLE, "")
    if page:
        ENGINES["text"]["duckduckgo"].search_url = page
    # Each engine makes its client by this name; the process ends after the call.
    vars(ddgs.base)["HttpClient"] = _client_class(page, failures)
    try:
        return DDGS(timeout=TIMEOUT_SECONDS).text(
            query, backend="duckduckgo" if page else _ENGINES, max_results=max_results
        )
    except ddgs.exceptions.DDGSException as error:
        if failures:
            raise ToolError(failures[-1]) from error
        if "no results" in str(error).lower():
            raise ToolError("Nothing was found: search for other words.") from error
        raise ToolError(f"{SERVICE} sent something that cannot be understood.") from error


def _client_class(trusted: str, failures: list[str]) -> type:
    """An HTTP client for ddgs; what goes wrong is told in ``failures``, since ddgs drops it."""
    import primp
    from ddgs.http_client import HttpClient, Response

    class GuardedClient(HttpClient):
        def request(self, *args: Any, **kwargs: Any) -> Response:
            try:
                return self._request(*args, **kwargs)
            except ToolError as error:
                failures.append(str(error))
                raise
            except primp.TimeoutError as error:
                failures.append(f"{SERVICE} did not answer in time; try later.")
                raise ToolError(failures[-1]) from error
            except (primp.PrimpError, OSError) as error:
                failures.append(f"{SERVICE} cannot be reached; is this machine offline?")
                raise ToolError(failures[-1]) from error

        def _request(self, method: str, url: str, **kwargs: Any) -> Response:
            for _ in range(MAX_REDIRECTS + 1):
                _check(url, trusted)
                answer = self.client.request(
                    method, url, follow_redirects=False, stream=True, **kwargs
                )
                if not 300 <= answer.status_code < 400:
                    return _response(answer)
                url = urljoin(url, answer.headers.get("location", "/"))
                # As browsers do: what follows a redirect is a plain request for a page.
                method, kwargs = "GET", {}
            raise ToolError(f"{SERVICE} redirects too often; try later.")

    def _response(answer: Any) -> Response:
        # DuckDuckGo says 202 where others say 429.
        if answer.status_code in (202, 429):
            raise ToolError(f"{SERVICE} allows no more requests for now; try again in a while.")
        if answer.status_code != 200:
            raise ToolError(f"{SERVICE} failed (HTTP status {answer.status_code}); try later.")
        body = bytearray()
        for chunk in answer.iter_bytes():
            body += chunk
            if len(body) > MAX_BYTES:
                raise ToolError(f"{SERVICE} sent more than {memory(MAX_BYTES)}; try later.")
        response = Response.__new__(Response)
        response.status_code, response.content = answer.status_code, bytes(body)
        response.text = response.content.decode("utf-8", "replace")
        return response

    return GuardedClient


def _check(url: str, trusted: str) -> None:
    """Refuse what is not https at a public address, unless it is the one the user set.

    Raises:
        ToolError: it is refused.
        OSError: the host cannot be resolved.
    """
    if trusted and origin(url) == origin(trusted):
        return
    parts = urlsplit(url)
    if parts.scheme != "https":
        raise ToolError(f"{SERVICE} led to {clean_line(url, 80)}, which is not opened.")
    public_addresses(parts.hostname or "", parts.port or 443)
