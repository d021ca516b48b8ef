"""The list of tools that come with the program and run in a tool process."""

from collections.abc import Callable
from typing import Final

from chatbot.tools.built_in.calculator import calculate
from chatbot.tools.built_in.clock import current_time
from chatbot.tools.built_in.units import convert_units
from chatbot.tools.built_in.weather import get_weather
from chatbot.tools.built_in.web_search import search_web

FUNCTIONS: Final[dict[str, Callable[..., object]]] = {
    function.__name__: function
    for function in (calculate, convert_units, current_time, get_weather, search_web)
}
