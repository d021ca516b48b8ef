"""Weather and search against a server on this machine, and the addresses that are refused."""

import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from chatbot.errors import ToolError
from chatbot.terminal_text import is_safe
from chatbot.tools.built_in import fetching
from chatbot.tools.built_in.addresses import is_public, public_addresses
from chatbot.tools.built_in.fetching import fetch
from chatbot.tools.built_in.weather import (
    ATTRIBUTION,
    FORECAST_VARIABLE,
    PLACES_VARIABLE,
    get_weather,
)
from chatbot.tools.built_in.web_search import SEARCH_VARIABLE
from chatbot.tools.runner import ToolRunner
from chatbot.tools.values import ToolDefinition
from tests.tools.stand_in import StandIn


@pytest.fixture
def weather(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    monkeypatch.setenv(PLACES_VARIABLE, stand_in.url)
    monkeypatch.setenv(FORECAST_VARIABLE, stand_in.url)
    return stand_in


@pytest.fixture
def search(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    monkeypatch.setenv(SEARCH_VARIABLE, f"{stand_in.url}/html")
    return stand_in


def test_weather(weather: StandIn) -> None:
    assert get_weather("Paris", days=2) == (
        "Paris, Île-de-France, France, 2026-05-01T12:00: light rain, 18.4 °C "
        "(feels like 17 °C), humidity 55 %, wind 12.5 km/h.\n"
        "2026-05-01: light rain, 9.5 to 19 °C, 80 % chance of rain\n"
        "2026-05-02: clear sky, 8 to 22.5 °C\n" + ATTRIBUTION
    )
    (places, query), (forecast, details) = weather.requests
    assert (places, query["name"]) == ("/v1/search", ["Paris"])
    assert (forecast, details["latitude"], details["forecast_days"]) == (
        "/v1/forecast",
        ["48.85"],
        ["2"],
    )


def test_weather_at_the_other_place_of_that_name(weather: StandIn) -> None:
    told = get_weather("Paris, texas", units="imperial")
    assert told.startswith("Paris, Texas, United States, ")
    assert "18.4 °F" in told
    assert weather.requests[1][1]["temperature_unit"] == ["fahrenheit"]


@pytest.mark.parametrize(("place", "days"), [(" ", 1), ("Paris", 0), ("Paris", 8)])
def test_weather_asks_nobody_for_nonsense(weather: StandIn, place: str, days: int) -> None:
    with pytest.raises(ToolError):
        get_weather(place, days)
    assert weather.requests == []


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("500", "failed (HTTP status 500)"),
        ("404", "failed (HTTP status 404)"),
        ("429", "allows no more requests"),
        ("garbage", "cannot be understood"),
        ("wrong shape", "cannot be understood"),
        ("no place", "No place called Paris was found"),
        ("huge", "more than 2 MiB"),
        ("short", "no answer"),
    ],
)
def test_weather_says_what_went_wrong(weather: StandIn, mode: str, words: str) -> None:
    weather.mode = mode
    with pytest.raises(ToolError) as raised:
        get_weather("Paris")
    assert words in str(raised.value)
    assert str(raised.value).endswith(".")


def test_weather_that_hangs(weather: StandIn) -> None:
    weather.mode = "hang"
    with pytest.raises(ToolError, match=r"did not answer in 0\.3 seconds"):
        fetch(weather.url, service="The service", trusted=weather.url, timeout=0.3)


LOCAL = [
    "http://127.0.0.1:1/",
    "https://127.0.0.1:1/",
    "https://localhost/",
    "https://[::1]/",
    "https://0.0.0.0/",
    "https://10.1.2.3/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://[fd00:ec2::254]/",
    "https://[fe80::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://2130706433/",
    "https://0x7f.1/",
    "http://example.org/",
    "file:///etc/passwd",
    "ftp://example.org/",
    "gopher://127.0.0.1/",
]


@pytest.mark.parametrize("location", LOCAL)
def test_a_redirect_to_a_local_address_is_refused(weather: StandIn, location: str) -> None:
    weather.mode, weather.location = "redirect", location
    with pytest.raises(ToolError, match="is not opened"):
        get_weather("Paris")
    assert len(weather.requests) == 1


def test_a_redirect_to_another_port_here_is_refused(weather: StandIn) -> None:
    with StandIn() as other:
        weather.mode, weather.location = "redirect", other.url
        with pytest.raises(ToolError, match="is not opened"):
            get_weather("Paris")
        assert other.requests == []


def test_redirects_without_end(weather: StandIn) -> None:
    weather.mode, weather.location = "redirect", "/again"
    with pytest.raises(ToolError, match="redirects too often"):
        get_weather("Paris")
    assert len(weather.requests) == fetching.MAX_REDIRECTS + 1


def test_a_local_server_is_reached_only_when_the_user_named_it(stand_in: StandIn) -> None:
    for url in (stand_in.url, stand_in.url.replace("http:", "https:")):
        with pytest.raises(ToolError, match="is not opened"):
            fetch(url, service="The service")
    assert stand_in.requests == []


def test_the_connection_goes_to_the_address_that_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name server that answers differently the second time gains nothing."""
    answers = iter(["93.184.215.14", "127.0.0.1"])
    connected: list[Any] = []

    def resolve(host: str, port: int, **kwargs: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    def connect(address: Any, timeout: float) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(ToolError, match="cannot be reached"):
        fetch("https://rebinding.example/", service="The service")
    assert connected == [("93.184.215.14", 443)]
    with pytest.raises(ToolError, match="is not opened"):
        fetch("https://rebinding.example/", service="The service")
    assert len(connected) == 1


def test_a_host_with_one_local_address_among_others_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def resolve(host: str, port: int, **kwargs: Any) -> list[Any]:
        return [(0, 0, 0, "", (a, port)) for a in ("93.184.215.14", "192.168.0.9")]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(ToolError, match="inside this network"):
        public_addresses("mixed.example", 443)


def test_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*args: Any, **kwargs: Any) -> list[Any]:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(ToolError, match=r"cannot be reached; is this machine offline\?"):
        get_weather("Paris")


def test_a_certificate_that_is_not_right(
    monkeypatch: pytest.MonkeyPatch, stand_in: StandIn
) -> None:
    def wrap(self: ssl.SSLContext, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        raise ssl.SSLCertVerificationError(1, "certificate verify failed")

    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", wrap)
    url = stand_in.url.replace("http:", "https:")
    with pytest.raises(ToolError, match="could not be reached safely"):
        fetch(url, service="The service", trusted=url)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("93.184.215.14", True),
        ("2606:4700:4700::1111", True),
        ("127.0.0.1", False),
        ("127.8.8.8", False),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("172.31.255.255", False),
        ("172.32.0.1", True),
        ("192.0.0.8", False),
        ("192.168.0.1", False),
        ("198.18.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::7f00:1", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("fd00:ec2::254", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::a00:1", False),
        ("2002:7f00:1::", False),
        ("fec0::1", False),
        ("::ffff:0:7f00:1", False),
        ("5f00::1", False),
        ("3fff::1", False),
        ("no address", False),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public


async def test_weather_in_its_process(
    runner: ToolRunner, built_in: dict[str, ToolDefinition], weather: StandIn
) -> None:
    told = await runner.run(built_in["get_weather"], {"place": "Paris"})
    assert told.endswith(ATTRIBUTION)


async def test_search_in_its_process(
    runner: ToolRunner, built_in: dict[str, ToolDefinition], search: StandIn
) -> None:
    told = await runner.run(built_in["search_web"], {"query": "python language", "max_results": 2})
    assert "https://example.org/python\n   Python is a language." in told
    assert "All about pythons" in told
    assert is_safe(told)
    (path, query), *_ = search.requests
    assert (path, query["q"]) == ("/html", ["python language"])


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("500", "failed (HTTP status 500)"),
        ("429", "allows no more requests"),
        ("202", "allows no more requests"),
        ("garbage", "Nothing was found"),
        ("empty", "Nothing was found"),
        ("huge", "more than 2 MiB"),
        ("redirect", "is not opened"),
        ("hang", "search_web was stopped after 2 seconds."),
    ],
)
async def test_search_says_what_went_wrong(
    tmp_path: Path, built_in: dict[str, ToolDefinition], search: StandIn, mode: str, words: str
) -> None:
    seconds = 2 if mode == "hang" else 20
    runner = ToolRunner(tmp_path, tmp_path / "tools.py", time_limit_seconds=seconds)
    search.mode, search.location = mode, "http://127.0.0.1:1/admin"
    with pytest.raises(ToolError) as raised:
        await runner.run(built_in["search_web"], {"query": "python"})
    assert words in str(raised.value)
    assert len(search.requests) <= 1


async def test_search_offline(
    runner: ToolRunner, built_in: dict[str, ToolDefinition], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SEARCH_VARIABLE, "http://127.0.0.1:9")
    with pytest.raises(ToolError, match=r"cannot be reached; is this machine offline\?"):
        await runner.run(built_in["search_web"], {"query": "python"})
