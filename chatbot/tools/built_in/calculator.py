"""Arithmetic that is safe to let a model do.

The text is parsed with ``ast`` and only what is on the lists below is carried out: numbers,
operators, and functions and constants by their bare names. Nothing is evaluated by Python,
and every operand and result is bounded before it is computed. Whole numbers are exact.
"""

import ast
import math
from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec

from chatbot.errors import ToolError
from chatbot.tools.decorator import tool

Number = int | float

MAX_LENGTH: Final = 500
"""Characters of an expression."""
MAX_DEPTH: Final = 50
"""Operators and calls within one another."""
MAX_DIGITS: Final = 1000
"""Of a whole number, in the expression, on the way or as the result."""
MAX_BITS: Final = int(MAX_DIGITS * math.log2(10))
MAX_ARGUMENTS: Final = 100
"""Of one function, such as ``max``."""

_TYPED: Final = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "^": "**"})
"""What is written for an operator elsewhere, and has no other meaning here."""


@tool(reaches_network=False, writes=False)
def calculate(expression: Annotated[str, msgspec.Meta(max_length=MAX_LENGTH)]) -> str:
    """Work out an arithmetic expression.

    Args:
        expression: Numbers, + - * / // % **, parentheses, the constants pi, e and tau, and
            functions such as sqrt, round, log, sin, factorial, min and max.
    """
    return as_text(evaluate(expression))


def evaluate(expression: str) -> Number:
    """The value of an expression.

    Raises:
        ToolError: it is none, or goes beyond a bound; the sentence says what to write instead.
    """
    if len(expression) > MAX_LENGTH:
        raise ToolError(f"The expression is too long: write at most {MAX_LENGTH} characters.")
    text = expression.translate(_TYPED).strip()
    if not text:
        raise ToolError("The expression is empty: write one such as 2 + 2.")
    # Python's parser takes full-width letters for plain ones, which would pass by the lists.
    if not text.isascii():
        raise ToolError("Write numbers, operators and names in plain ASCII characters.")
    if "\x00" in text or "\n" in text or "\\" in text:
        raise ToolError("Write the expression on one line.")
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        example = "15 / 100 * 80 for 15 % of 80" if "%" in text else "2 * (3 + 4)"
        raise ToolError(f"That is no arithmetic expression: write {example}.") from error
    try:
        return _value(tree.body, 0)
    except ZeroDivisionError as error:
        raise ToolError("The expression divides by zero.") from error
    except OverflowError as error:
        raise ToolError("A number in the expression becomes too large.") from error


def as_text(value: Number) -> str:
    """A result in figures: whole numbers exactly, others to 15 significant digits."""
    if isinstance(value, int):
        return str(value)
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return format(value, ".15g")


def _value(node: ast.expr, depth: int) -> Number:
    if depth > MAX_DEPTH:
        raise ToolError(f"The expression is nested too deeply: at most {MAX_DEPTH} levels.")
    match node:
        case ast.Constant(value=value):
            return _number(value)
        case ast.Name(id=name):
            if name not in _CONSTANTS:
                known = ", ".join(_CONSTANTS)
                raise ToolError(f"{name[:40]} is no constant known here: there are {known}.")
            return _CONSTANTS[name]
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand, depth + 1)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, depth + 1)
        case ast.BinOp():
            return _chain(node, depth)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            return _call(name, arguments, depth)
        case ast.Tuple():
            raise ToolError("Write numbers without separators between the thousands: 1000.")
    raise ToolError("Only numbers, + - * / // % **, parentheses and named functions are allowed.")


def _chain(node: ast.expr, depth: int) -> Number:
    """Operators of which each takes the result of the one before, as in 1 + 2 + 3.

    They are not counted as nested, so that a long sum is no deep one.
    """
    steps = []
    while isinstance(node, ast.BinOp):
        operation = _OPERATIONS.get(type(node.op))
        if operation is None:
            raise ToolError("Only the operators + - * / // % and ** are allowed.")
        steps.append((operation, node.right))
        node = node.left
    value = _value(node, depth + 1)
    for operation, right in reversed(steps):
        value = _bounded(operation(value, _value(right, depth + 1)))
    return value


def _number(value: Any) -> Number:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ToolError("Only whole and decimal numbers are allowed.")
    return _bounded(value)


def _bounded(value: Any) -> Number:
    if isinstance(value, complex):
        raise ToolError("The result is not a real number.")
    if isinstance(value, int):
        if value.bit_length() > MAX_BITS:
            raise ToolError(f"A number has more than {MAX_DIGITS} digits, which is too many.")
        return value
    if not math.isfinite(value):
        raise ToolError("A number in the expression is too large, or not a number.")
    return float(value)


def _call(name: str, nodes: list[ast.expr], depth: int) -> Number:
    function = _FUNCTIONS.get(name)
    if function is None:
        known = ", ".join(_FUNCTIONS)
        raise ToolError(f"{name[:40]} is no function known here: there are {known}.")
    if len(nodes) > MAX_ARGUMENTS:
        raise ToolError(f"Give a function at most {MAX_ARGUMENTS} numbers.")
    arguments = [_value(node, depth + 1) for node in nodes]
    try:
        return _bounded(function(*arguments))
    except (TypeError, ValueError) as error:
        shown = ", ".join(as_text(argument) for argument in arguments[:3])
        raise ToolError(f"{name}({shown[:80]}) has no value: look at its numbers.") from error


def _multiply(left: Number, right: Number) -> Number:
    if isinstance(left, int) and isinstance(right, int):
        _expect_bits(left.bit_length() + right.bit_length())
    return left * right


def _divide(left: Number, right: Number) -> Number:
    if isinstance(left, int) and isinstance(right, int) and right and left % right == 0:
        return left // right
    return left / right


def _power(base: Number, exponent: Number) -> Any:
    """Base to the exponent; a complex number where that is what comes out."""
    if isinstance(base, int) and isinstance(exponent, int) and exponent > 0:
        # 0, 1 and -1 stay small however often they are multiplied.
        _expect_bits(base.bit_length() * exponent if abs(base) > 1 else 1)
    result = base**exponent
    if result == 0 and base:
        raise ToolError("A number in the expression comes too close to zero.")
    return result


def _expect_bits(num_bits: float) -> None:
    """Refuse a product that is certain to go beyond the bound, before it is computed."""
    if num_bits > 2 * MAX_BITS:
        raise ToolError(f"The result has more than {MAX_DIGITS} digits, which is too many.")


def _factorial(n: Number) -> int:
    n = _whole(n)
    if n > MAX_DIGITS:
        raise ToolError(f"factorial({n}) has more than {MAX_DIGITS} digits, which is too many.")
    return math.factorial(n)


def _comb(n: Number, k: Number) -> int:
    n, k = _whole(n), _whole(k)
    if 0 <= k <= n:
        small = min(k, n - k)
        # From below, comb(n, k) is at least (n / k) to the k, and 2 to the k for the smaller k.
        _expect_bits(small * max(1, n.bit_length() - 1 - small.bit_length()))
    return math.comb(n, k)


def _round(value: Number, num_digits: Number = 0) -> Number:
    """Halves away from zero, as people round, not to even, as Python does."""
    from decimal import ROUND_HALF_UP, Context, Decimal

    digits = _whole(num_digits)
    if abs(digits) > 100:
        raise ToolError("Round to at most 100 digits.")
    if isinstance(value, int) and digits >= 0:
        return value
    context = Context(prec=2 * MAX_DIGITS)
    step = Decimal(1).scaleb(-digits)
    rounded = Decimal(repr(value)).quantize(step, ROUND_HALF_UP, context)
    return float(rounded) if digits > 0 else int(rounded)


def _gcd(*values: Number) -> int:
    return math.gcd(*map(_whole, values))


def _lcm(*values: Number) -> int:
    numbers = [_whole(value) for value in values]
    _expect_bits(sum(number.bit_length() for number in numbers))
    return math.lcm(*numbers)


def _whole(value: Number) -> int:
    if isinstance(value, float) and not value.is_integer():
        raise ToolError("Whole numbers are needed there.")
    return int(value)


_CONSTANTS: Final[dict[str, float]] = {"pi": math.pi, "e": math.e, "tau": math.tau}

_OPERATIONS: Final[dict[type[ast.operator], Callable[[Number, Number], Any]]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: _multiply,
    ast.Div: _divide,
    ast.FloorDiv: lambda left, right: left // right,
    ast.Mod: lambda left, right: left % right,
    ast.Pow: _power,
}

_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "abs": abs,
    "round": _round,
    "floor": math.floor,
    "ceil": math.ceil,
    "min": min,
    "max": max,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "asin": math.asin,
    "acos": math.acos,
    "atan": math.atan,
    "atan2": math.atan2,
    "degrees": math.degrees,
    "radians": math.radians,
    "hypot": math.hypot,
    "factorial": _factorial,
    "comb": _comb,
    "gcd": _gcd,
    "lcm": _lcm,
}
