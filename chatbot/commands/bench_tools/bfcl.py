"""Cases of the Berkeley Function Calling Leaderboard, and its own check of the calls.

The package is optional. Only its data and its checker are used: what else it would import are
the clients of forty services, so the table of its models is stood in for.
"""

import importlib.util
import json
import shlex
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from chatbot.engine.protocol.messages import ChatMessage, ToolSchema
from chatbot.errors import ChatbotError

VERSION: Final = "2026.3.23"
CATEGORIES: Final = ("simple_python", "multiple", "irrelevance")

_TYPES: Final = {"dict": "object", "float": "number", "tuple": "array"}
_KEPT: Final = frozenset({"type", "description", "enum", "properties", "required", "items"})


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One question with its tools."""

    id: str
    category: str
    messages: tuple[ChatMessage, ...]
    tools: tuple[ToolSchema, ...]
    functions: list[dict[str, Any]]
    """The tools in the package's own form."""
    answers: list[dict[str, Any]]
    """The calls that are right; empty where none is."""


def find_data() -> Path:
    """The folder with the cases.

    Raises:
        ChatbotError: the package is not installed.
    """
    spec = importlib.util.find_spec("bfcl_eval")
    for folder in (spec and spec.submodule_search_locations) or ():
        if (data := Path(folder) / "data").is_dir():
            return data
    python = shlex.quote(sys.executable)
    raise ChatbotError(
        "The cases of BFCL are not installed; get them with "
        f"{python} -m pip install --no-deps bfcl-eval=={VERSION}, or give --own-only."
    )


def cases(category: str, limit: int) -> Iterator[Case]:
    """The first ``limit`` cases of a category.

    Raises:
        ChatbotError: the package is not installed.
    """
    data = find_data()
    name = f"BFCL_v4_{category}.json"
    answers = {row["id"]: row["ground_truth"] for row in _rows(data / "possible_answer" / name)}
    for row in _rows(data / name)[:limit]:
        functions = row["function"]
        yield Case(
            id=row["id"],
            category=category,
            messages=tuple(ChatMessage(m["role"], m["content"]) for m in row["question"][0]),
            tools=tuple(
                ToolSchema(
                    name=function["name"],
                    description=function["description"],
                    parameters=json.dumps(as_schema(function["parameters"])),
                )
                for function in functions
            ),
            functions=functions,
            answers=answers.get(row["id"], []),
        )


def is_right(case: Case, calls: Sequence[tuple[str, str]]) -> bool:
    """Whether the package's checker accepts the calls; no call is right where none fits."""
    if case.category == "irrelevance":
        return not calls
    _stand_in_for_models()
    from bfcl_eval.constants.enums import Language
    from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker

    output = [{name: json.loads(arguments)} for name, arguments in calls]
    result = ast_checker(
        case.functions, output, case.answers, Language.PYTHON, case.category, "chatbot"
    )
    return bool(result["valid"])


def as_schema(value: Any) -> Any:
    """A parameter of the package as JSON schema, which it nearly is."""
    if not isinstance(value, dict):
        return {}
    schema = {key: item for key, item in value.items() if key in _KEPT}
    kind = schema.get("type")
    if kind == "any":
        del schema["type"]
    elif isinstance(kind, str):
        schema["type"] = _TYPES.get(kind, kind)
    if "properties" in schema:
        schema["properties"] = {key: as_schema(item) for key, item in schema["properties"].items()}
        if schema.get("type") == "object":
            schema["additionalProperties"] = False
    if "items" in schema:
        schema["items"] = as_schema(schema["items"])
    return schema


def _rows(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []  # the cases that need no call have no answers either
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def _stand_in_for_models() -> None:
    name = "bfcl_eval.constants.model_config"
    if name not in sys.modules:
        module = types.ModuleType(name)
        ours = types.SimpleNamespace(underscore_to_dot=False)
        module.__dict__["MODEL_CONFIG_MAPPING"] = {"chatbot": ours}
        sys.modules[name] = module
