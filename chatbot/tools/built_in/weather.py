"""The weather at a place, by Open-Meteo: free for non-commercial use, with attribution.

Its answers are data from outside: only numbers and short names are taken out of them.
"""

import json
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlencode

import msgspec

from chatbot.errors import ToolError
from chatbot.terminal_text import clean_line
from chatbot.tools.built_in.fetching import base_url, fetch
from chatbot.tools.built_in.parameters import Line
from chatbot.tools.decorator import tool

SERVICE: Final = "The weather service"
MAX_DAYS: Final = 7
ATTRIBUTION: Final = "Weather data by Open-Meteo.com (CC BY 4.0)."

_PLACES: Final = "https://geocoding-api.open-meteo.com"
_FORECAST: Final = "https://api.open-meteo.com"
PLACES_VARIABLE: Final = "CHATBOT_GEOCODING_URL"
FORECAST_VARIABLE: Final = "CHATBOT_WEATHER_URL"

_CURRENT: Final = (
    "temperature_2m,apparent_temperature,relative_humidity_2m,weather_code,wind_speed_10m"
)
_DAILY: Final = "weather_code,temperature_2m_max,temperature_2m_min,precipitation_probability_max"

_CODES: Final = {
    0: "clear sky",
    1: "mainly clear",
    2: "partly cloudy",
    3: "overcast",
    45: "fog",
    48: "freezing fog",
    51: "light drizzle",
    53: "drizzle",
    55: "heavy drizzle",
    56: "light freezing drizzle",
    57: "freezing drizzle",
    61: "light rain",
    63: "rain",
    65: "heavy rain",
    66: "light freezing rain",
    67: "freezing rain",
    71: "light snow",
    73: "snow",
    75: "heavy snow",
    77: "snow grains",
    80: "light showers",
    81: "showers",
    82: "heavy showers",
    85: "light snow showers",
    86: "heavy snow showers",
    95: "thunderstorm",
    96: "thunderstorm with hail",
    99: "thunderstorm with heavy hail",
}
"""The codes of the World Meteorological Organization that Open-Meteo uses, in words."""


@tool(reaches_network=True, writes=False)
def get_weather(
    place: Line,
    days: Annotated[int, msgspec.Meta(ge=1, le=MAX_DAYS)] = 1,
    units: Literal["metric", "imperial"] = "metric",
) -> str:
    """Tell the present weather at a place, and the forecast for the next days.

    Args:
        place: A town, with its country where the name alone is not clear, such as Paris, France.
        days: Days of forecast, today included, 1 to 7.
        units: metric for Celsius and km/h, imperial for Fahrenheit and mph.
    """
    if not place.strip():
        raise ToolError("Name a place, such as Paris, France.")
    if not 1 <= days <= MAX_DAYS:
        raise ToolError(f"Ask for 1 to {MAX_DAYS} days.")
    found = _find_place(place.strip()[:100])
    query: dict[str, Any] = {
        "latitude": _number(found, "latitude"),
        "longitude": _number(found, "longitude"),
        "current": _CURRENT,
        "daily": _DAILY,
        "forecast_days": days,
        "timezone": "auto",
    }
    if units == "imperial":
        query |= {"temperature_unit": "fahrenheit", "wind_speed_unit": "mph"}
    weather = _get(FORECAST_VARIABLE, _FORECAST, "/v1/forecast", query)
    degree, speed = ("°F", "mph") if units == "imperial" else ("°C", "km/h")
    now = _object(weather, "current")
    names = [clean_line(str(found.get(key) or ""), 60) for key in ("name", "admin1", "country")]
    lines = [
        f"{', '.join(dict.fromkeys(filter(None, names)))}, {clean_line(str(now.get('time')), 20)}: "
        f"{_words(now.get('weather_code'))}, {_number(now, 'temperature_2m'):g} {degree} "
        f"(feels like {_number(now, 'apparent_temperature'):g} {degree}), "
        f"humidity {_number(now, 'relative_humidity_2m'):g} %, "
        f"wind {_number(now, 'wind_speed_10m'):g} {speed}."
    ]
    lines += _forecast(_object(weather, "daily"), degree)
    return "\n".join([*lines, ATTRIBUTION])


def _find_place(place: str) -> dict[str, Any]:
    # The service knows names only: what follows the first comma chooses among its answers.
    name, _, rest = place.partition(",")
    query = {"name": name.strip() or place, "count": 10, "language": "en"}
    places = _get(PLACES_VARIABLE, _PLACES, "/v1/search", query).get("results") or []
    if not isinstance(places, list) or not all(isinstance(entry, dict) for entry in places):
        raise _unreadable()
    if not places:
        raise ToolError(f"No place called {clean_line(place, 60)} was found: write it otherwise.")
    wanted = rest.strip().casefold()
    keys = ("country", "country_code", "admin1", "admin2")
    for entry in places:
        if wanted and any(str(entry.get(key) or "").casefold() == wanted for key in keys):
            return dict(entry)
    return dict(places[0])


def _forecast(daily: dict[str, Any], degree: str) -> list[str]:
    try:
        days = zip(
            daily["time"],
            daily["weather_code"],
            daily["temperature_2m_min"],
            daily["temperature_2m_max"],
            daily["precipitation_probability_max"],
            strict=True,
        )
        return [
            f"{clean_line(str(day), 20)}: {_words(code)}, "
            f"{float(low):g} to {float(high):g} {degree}"
            + (f", {float(rain):g} % chance of rain" if rain is not None else "")
            for day, code, low, high, rain in days
        ][:7]
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable() from error


def _get(variable: str, default: str, path: str, query: dict[str, Any]) -> dict[str, Any]:
    base = base_url(variable, default)
    trusted = base if base != default else ""
    body = fetch(f"{base}{path}?{urlencode(query)}", service=SERVICE, trusted=trusted)
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _unreadable() from error
    if not isinstance(answer, dict):
        raise _unreadable()
    return answer


def _object(answer: dict[str, Any], key: str) -> dict[str, Any]:
    value = answer.get(key)
    if not isinstance(value, dict):
        raise _unreadable()
    return value


def _number(answer: dict[str, Any], key: str) -> float:
    value = answer.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unreadable()
    return float(value)


def _words(code: Any) -> str:
    return _CODES.get(code, "unknown weather") if isinstance(code, int) else "unknown weather"


def _unreadable() -> ToolError:
    return ToolError(f"{SERVICE} sent something that cannot be understood; try later.")
