"""``chatbot models list``: the catalogue, the hub's cache, and what was imported."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chatbot.config import load_config
from chatbot.models.facts import ModelFacts
from chatbot.models.listing import list_models
from chatbot.paths import config_file
from chatbot.terminal_text import clean_line
from chatbot.wording import parameters, size


def list_report() -> dict[str, Any]:
    """All models, in the JSON form that the manual documents."""
    config = load_config(config_file())
    listed = list_models([config.settings.model], config.model_folders)
    return {"models": [_as_json(facts) for facts in listed]}


def _as_json(facts: ModelFacts) -> dict[str, Any]:
    shape = facts.shape
    return {
        "name": facts.reference,
        "kind": facts.kind,
        "here": facts.is_here,
        "bytes": facts.num_bytes,
        "parameters": shape.num_parameters if shape else None,
        "context_length": shape.context_length if shape else None,
        "licence": facts.licence,
        "tools": facts.calls_tools,
        "vision": facts.sees_images,
        "thinking": facts.thinks,
        "gated": facts.is_gated,
        "description": facts.description,
        "problem": facts.problem,
    }


def list_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """What ``list_report`` says, as a table."""
    models: Sequence[dict[str, Any]] = report["models"]
    width = max(20, *(len(clean_line(m["name"], 40)) for m in models))
    head = f"{'name':<{width}} {'params':>7} {'window':>8} {'disk':>9}  can             licence"
    for is_here in (True, False):
        chosen = [model for model in models if model["here"] is is_here]
        if not chosen:
            continue
        yield "On this machine" if is_here else "\nTo be had: chatbot models pull NAME"
        yield head
        for model in chosen:
            can = [name for name in ("tools", "vision", "thinking") if model[name]]
            yield (
                f"{clean_line(model['name'], 40):<{width}} {_size(model['parameters']):>7} "
                f"{_window(model['context_length']):>8} "
                f"{size(model['bytes']) if model['bytes'] else '':>9}  {' '.join(can):<15} "
                f"{model['licence']}{' (gated)' if model['gated'] else ''}"
            )
            if model["problem"]:
                yield f"  {clean_line(model['problem'], 500)}"


def _size(number: int | None) -> str:
    return "?" if number is None else parameters(number)


def _window(number: int | None) -> str:
    return f"{number:,}" if number else "?"
