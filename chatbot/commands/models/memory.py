"""``chatbot models memory``: what a model takes in each precision."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from chatbot.errors import ModelError
from chatbot.models.facts import facts_of
from chatbot.models.fitting import fits_of
from chatbot.models.hardware import look
from chatbot.models.memory import BITS, nominal_bytes, window_of
from chatbot.models.notebook import read_notebook
from chatbot.models.references import resolve

_COUNT: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([mb])", re.IGNORECASE)
"""A number of parameters in place of a model: ``7B``, ``350m``."""

_VERDICTS: Final = {"fits": "yes", "split": "split", "no": "no"}


def memory_report(model: str, context_length: int) -> dict[str, Any]:
    """What a model takes in each precision, held against what is free, beside what was measured.

    Raises:
        ModelError: the model's sizes are not known here.
    """
    if count := _COUNT.fullmatch(model):
        number = round(float(count[1]) * (10**9 if count[2].lower() == "b" else 10**6))
        rows = [{"precision": p, "nominal_bytes": nominal_bytes(number, p)} for p in BITS]
        return {"name": model, "parameters": number, "precisions": rows}
    facts = facts_of(resolve(model))
    if facts.shape is None:
        raise ModelError(
            facts.problem
            or f"The sizes of {model} are not known here: run: chatbot models pull {model}"
        )
    measured = read_notebook().measured.get(model, {})
    hardware = look()
    rows = []
    for precision, fit in fits_of(facts.shape, hardware, context_length).items():
        known = measured.get(precision)
        rows.append(
            {
                "precision": precision,
                "nominal_bytes": fit.need.nominal_weights,
                "weight_bytes": fit.need.weights,
                "cache_bytes": fit.need.cache,
                "overhead_bytes": fit.need.overhead,
                "total_bytes": fit.need.total,
                "fits": fit.verdict,
                "measured_weight_bytes": known.weight_bytes if known else None,
                "measured_on": known.device if known else None,
            }
        )
    return {
        "name": model,
        "parameters": facts.shape.num_parameters,
        "exact": facts.shape.is_exact,
        "layers": facts.shape.num_layers,
        "context": window_of(facts.shape, context_length),
        "free_bytes": hardware.free_bytes,
        "free_on": hardware.main.name,
        "precisions": rows,
    }


def memory_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """What ``memory_report`` says, as a table."""
    rows = report["precisions"]
    if "context" not in report:
        yield f"{report['parameters']:,} parameters; GiB for weights alone"
        for row in rows:
            yield f"{row['precision']:<6} {_gib(row['nominal_bytes']):>8}"
        return
    about = "" if report["exact"] else ", estimated: this family is not known"
    yield f"{report['name']}: {report['parameters']:,} parameters{about}"
    yield (
        f"GiB, with a window of {report['context']:,} tokens; "
        f"{_gib(report['free_bytes'])} GiB of {report['free_on']} are free"
    )
    yield (
        f"{'':<6} {'weights':>8} {'loaded':>8} {'cache':>7} {'rest':>6} {'all':>8}  "
        f"{'fits':<6} measured"
    )
    for row in rows:
        known = row["measured_weight_bytes"]
        measured = f"{_gib(known)} loaded ({row['measured_on']})" if known else ""
        yield (
            f"{row['precision']:<6} {_gib(row['nominal_bytes']):>8} {_gib(row['weight_bytes']):>8} "
            f"{_gib(row['cache_bytes']):>7} {_gib(row['overhead_bytes']):>6} "
            f"{_gib(row['total_bytes']):>8}  {_VERDICTS[row['fits']]:<6} {measured}".rstrip()
        )


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.2f}"
