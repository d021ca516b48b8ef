"""Arithmetic: right results in this process, hostile expressions through a real one."""

import asyncio
import time

import pytest

from chatbot.errors import ToolError
from chatbot.terminal_text import is_safe
from chatbot.tools.built_in.calculator import calculate
from chatbot.tools.runner import ToolRunner
from chatbot.tools.values import TIME_LIMIT_SECONDS, ToolDefinition


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("17 * 23", "391"),
        ("0.1 + 0.2", "0.3"),
        ("6 / 2", "3"),
        ("7 / 2", "3.5"),
        ("-7 // 2", "-4"),
        ("-7 % 3", "2"),
        ("2^10", "1024"),
        ("2 ** -2", "0.25"),
        ("-2 ** 2", "-4"),
        ("12 × 3 − 4 ÷ 2", "34"),
        ("(1 + 2) * (3 + 4)", "21"),
        ("12345678901234567890 * 98765432109876543210", "1219326311370217952237463801111263526900"),
        ("2 ** 200", "1606938044258990275541962092341162602522202993782792835301376"),
        ("sqrt(16) + abs(-2)", "6"),
        ("round(2.5)", "3"),
        ("round(2.675, 2)", "2.68"),
        ("round(-12345, -2)", "-12300"),
        ("log(e) + log10(1000) + log2(8) + log(81, 3)", "11"),
        ("sin(pi / 2)", "1"),
        ("factorial(20)", "2432902008176640000"),
        ("comb(50, 25)", "126410606437752"),
        ("comb(5, 7)", "0"),
        ("max(1, 2.5, 2) + min(3, 4)", "5.5"),
        ("lcm(4, 6) + gcd(12, 18)", "18"),
        ("1_000 + 0x10", "1016"),
        ("1e3", "1000"),
        ("10**22 / 1.0", "1e+22"),
        ("+".join(["1"] * 200), "200"),
        ("  3 \t+ 4  ", "7"),
    ],
)
def test_results(expression: str, result: str) -> None:
    assert calculate(expression) == result


HOSTILE = [
    # Large numbers, and ways to get there.
    "9**9**9",
    "9**9**9**9",
    "10**10**10",
    "2**100000",
    "(2**3000)**3000",
    "9e307*9e307",
    "1e999",
    "-1e999",
    "1e999-1e999",
    "9" * 900 + "*" + "9" * 900,
    "9" * 1000,
    "0x" + "f" * 900,
    "*".join(["9" * 90] * 10 + ["9" * 90]) + "**2",
    "factorial(10**6)",
    "factorial(factorial(20))",
    "factorial(factorial(factorial(5)))",
    "factorial(1e15)",
    "factorial(-1)",
    "factorial(2.5)",
    "comb(10**6, 5*10**5)",
    "comb(10**900, 3000)",
    "lcm(10**900, 10**900-1, 10**900-3)",
    "exp(1000)",
    "round(5, -10**9)",
    "round(1.5, 10**9)",
    "10**-400",
    "0.5**10000",
    "2.0**5000",
    "10**900/0.1",
    "sqrt(10**999)",
    # No number comes out.
    "1/0",
    "1//0",
    "1%0",
    "0**-1",
    "(-8)**(1/3)",
    "sqrt(-1)",
    "log(0)",
    "asin(2)",
    "nan",
    "inf",
    "1j",
    "1+2j",
    # Anything that is no arithmetic.
    "",
    "   ",
    "__import__('os').system('id')",
    "().__class__.__bases__[0].__subclasses__()",
    "(1).__class__",
    "pi.real",
    "sqrt.__self__",
    "sqrt.__globals__['x']",
    "'a'*10**9",
    "b'a'*9",
    "[1]*10**9",
    "(1,)*10**9",
    "{1: 2}",
    "{1, 2}",
    "[x for x in range(10**9)]",
    "sum(x for x in (1,))",
    "lambda: 1",
    "(lambda f: f(f))(lambda f: f(f))",
    "(x := 10**9)",
    "f'{1}'",
    "f'{9**9**9}'",
    "1 if 1 else 2",
    "1 < 2",
    "1 == 1",
    "1 and 2",
    "not 1",
    "~5",
    "1 << 10**9",
    "5 | 2",
    "True + 1",
    "None",
    "...",
    "eval('1')",
    "exec('1')",
    "open('/etc/passwd')",
    "getattr(1, 'real')",
    "globals()",
    "print(1)",
    "abs",
    "abs(*[1])",
    "max(**{})",
    "sqrt(x=4)",
    "max(1)",
    "min()",
    "sqrt(4)(4)",
    "await x",
    "yield 1",
    "import os",
    "1; 2",
    "1\n2",
    "1 \\\n+ 2",
    "1\x00+1",
    "x = 1",
    "1,000 + 1",
    "007",
    "1__0",
    "15% of 80",
    # Other digits, letters and invisible ones.
    "١٢ + ٣",
    "１＋１",
    "ｓｑｒｔ(4)",
    "𝟏𝟐",
    "²",
    "1\u200b+1",
    "1 + 1\u202e",
    "\x1b]52;c;eA==\x07 1+1",
    # Deep, wide and long.
    "(" * 300 + "1" + ")" * 300,
    "(" * 90 + "1" + ")" * 90 + "(" * 90,
    "-" * 900 + "1",
    "1" + "**1" * 300,
    "sqrt(" * 150 + "1" + ")" * 150,
    "[" * 500,
    "(" * 1000,
    "max(" + ",".join(["1"] * 400) + ")",
    "1+" * 500_000 + "1",
    "9" * 2**20,
    "(" * 2**20,
    "\U0001f600" * 2**18,
]


async def test_hostile_expressions_through_the_real_process(
    runner: ToolRunner, built_in: dict[str, ToolDefinition]
) -> None:
    at_once = asyncio.Semaphore(3)

    async def run(expression: str) -> tuple[str, str, float]:
        async with at_once:
            start = time.monotonic()
            try:
                answer = await runner.run(built_in["calculate"], {"expression": expression})
            except ToolError as error:
                return expression, str(error), time.monotonic() - start
            raise AssertionError(f"{expression[:60]!r} gave {answer[:60]!r}")

    assert len(set(HOSTILE)) == len(HOSTILE) >= 60
    for expression, error, seconds in await asyncio.gather(*map(run, HOSTILE)):
        shown = expression[:60]
        assert seconds < TIME_LIMIT_SECONDS, shown
        assert is_safe(error), shown
        assert error.endswith("."), (shown, error)
        assert len(error) < 400, shown
        assert "\n" not in error, shown
        for alien in ("Traceback", "stopped after", "ended before", "Error:", "The tool failed"):
            assert alien not in error, (shown, error)
