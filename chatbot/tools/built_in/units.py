"""Conversion between units of measure, by pint."""

import math
import re
from functools import cache
from typing import Any, Final

from chatbot.errors import ToolError
from chatbot.terminal_text import clean_line
from chatbot.tools.built_in.parameters import Line
from chatbot.tools.decorator import tool

_UNIT: Final = re.compile(r"[\w°µμ²³ /*^().\-%'\"]{1,60}")
_TEMPERATURES: Final = {"C": "degC", "F": "degF", "K": "kelvin"}


@tool(reaches_network=False, writes=False)
def convert_units(value: float, from_unit: Line, to_unit: Line) -> str:
    """Convert a quantity from one unit of measure to another, such as 5 miles to km.

    Args:
        value: How many of the first unit.
        from_unit: A unit such as km, mile, kg, lb, celsius, km/h, litre or MB.
        to_unit: The unit wanted, of the same kind.
    """
    # 0.4 s, hence here; its errors are all of its own or of these kinds.
    from pint import DimensionalityError, PintError

    if not math.isfinite(value):
        raise ToolError("Give a finite number to convert.")
    registry = _registry()
    try:
        try:
            result = _convert(registry, value, from_unit, to_unit)
        except DimensionalityError:
            # To pint, C is a coulomb and F a farad, between which there is no conversion.
            names = [_TEMPERATURES.get(name, name) for name in (from_unit, to_unit)]
            result = _convert(registry, value, *names)
    except DimensionalityError as error:
        raise ToolError(
            f"{from_unit} and {to_unit} measure different things: choose two of one kind."
        ) from error
    except (PintError, ArithmeticError, ValueError) as error:
        raise ToolError(f"{from_unit} cannot be converted to {to_unit}.") from error
    if not math.isfinite(result):
        raise ToolError("The result is too large.")
    return f"{value:.12g} {from_unit} = {result:.12g} {to_unit}"


@cache
def _registry() -> Any:
    from pint import UnitRegistry

    return UnitRegistry()


def _convert(registry: Any, value: float, from_unit: str, to_unit: str) -> float:
    source, target = _unit(registry, from_unit), _unit(registry, to_unit)
    result = float(registry.Quantity(value, source).to(target).magnitude)
    # Scales with different zeros are subtracted, which leaves dust where 0 is meant.
    return round(result, 9) if source.dimensionality == {"[temperature]": 1} else result


def _unit(registry: Any, name: str) -> Any:
    """The unit of this name, in the case it is written in or else in lower case."""
    if _UNIT.fullmatch(name):
        for spelling in (name, name.lower()):
            try:
                return registry.parse_units(spelling)
            # The parser of expressions lets errors of its tokens and arithmetic through.
            except Exception:
                continue
    raise ToolError(
        f"{clean_line(name, 40) or 'An empty text'} is no unit known here: write one such as "
        "km, lb, celsius or m/s."
    )
