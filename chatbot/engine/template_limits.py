"""Keeps a chat template from taking all memory with one instruction.

transformers renders templates in a sandbox that lets no attribute through, and a time limit
ends those that run for ever. Neither stops ``{{ 'a' * 10 ** 10 }}``, which is a single step of
the interpreter; here such steps are refused before they are taken.
"""

import functools
import re
from typing import Any, Final

import transformers.utils.chat_template_utils as chat_templates
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_LENGTH: Final = 4_000_000
"""Characters or items in one value: more than any prompt that fits into a window."""

_WIDE: Final = re.compile(r"%[-+ #0]*\d{7}|\{[^{}]*:[^{}]*\d{7}")

MAX_NUMBER: Final = 10**9
"""No template of a model counts further."""


class LimitedEnvironment(ImmutableSandboxedEnvironment):
    """The sandbox, with limits on how large a value may become at once."""

    intercepted_binops = frozenset(("*", "**", "%"))

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name in ("center", "indent", "wordwrap", "batch", "slice"):
            self.filters[name] = _limited(self.filters[name])
        self.filters["format"] = _refused

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Carry out an operation whose result is not absurdly large.

        Raises:
            SecurityError: it would be.
        """
        is_sequence = isinstance(left, str | list | tuple) or isinstance(right, str | list | tuple)
        limit = MAX_LENGTH if is_sequence else MAX_NUMBER**2
        if operator == "*" and _size(left) * _size(right) > limit:
            raise SecurityError("the template makes a value that is absurdly large")
        if operator == "**" and (_size(left) > 10_000 or _size(right) > 10):
            raise SecurityError("the template makes a number that is absurdly large")
        if operator == "%" and isinstance(left, str):
            _check_widths(left)
        return super().call_binop(context, operator, left, right)

    def call(self, context: Any, obj: Any, /, *args: Any, **options: Any) -> Any:  # noqa: D102
        _check_numbers(args, options)
        if getattr(obj, "__name__", "") in ("format", "format_map"):
            method = getattr(obj, "__wrapped__", obj)  # jinja wraps it, to guard attributes
            _check_widths(str(getattr(method, "__self__", "")))
        return super().call(context, obj, *args, **options)


def limit_templates() -> None:
    """Have transformers render in this sandbox from now on."""
    chat_templates.ImmutableSandboxedEnvironment = LimitedEnvironment


def _size(value: Any) -> int:
    if isinstance(value, str | list | tuple):
        return max(len(value), 1)
    return abs(int(value)) if isinstance(value, int | float) and abs(value) < 1e30 else MAX_NUMBER


def _limited(function: Any) -> Any:
    """A filter that takes no absurd numbers; marked for jinja as the original is."""

    @functools.wraps(function)
    def checked(*args: Any, **options: Any) -> Any:
        _check_numbers(args, options)
        return function(*args, **options)

    return checked


def _refused(*_: Any, **__: Any) -> Any:
    raise SecurityError("the template formats values, which no chat needs")


def _check_numbers(args: tuple[Any, ...], options: dict[str, Any]) -> None:
    for value in (*args, *options.values()):
        if isinstance(value, int) and abs(value) > MAX_LENGTH and not isinstance(value, bool):
            raise SecurityError("the template asks for something absurdly large")


def _check_widths(text: str) -> None:
    """Refuse a format with a width such as ``%1000000000d`` or ``{:1000000000}``."""
    if _WIDE.search(text):
        raise SecurityError("the template asks for something absurdly large")
