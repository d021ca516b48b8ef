"""The figures as a table for people; the JSON is the same ones."""

import msgspec

from chatbot.wording import memory, size


class FirstToken(msgspec.Struct, frozen=True, kw_only=True):
    """Time to the first token after so much history and a short question."""

    num_history_tokens: int
    cold_seconds: float
    """Everything is read."""
    warm_seconds: float
    """The history is in the cache, as it is in a chat that goes on."""
    generate_seconds: float | None = None
    """Plain ``model.generate()``, cold."""
    llama_cpp_seconds: float | None = None
    """llama.cpp, cold."""

    @property
    def ratio(self) -> float:
        """How many times faster the warm one is."""
        return self.cold_seconds / self.warm_seconds


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was measured. Speeds are medians over the runs."""

    model: str
    precision: str
    device: str
    num_threads: int
    decoder: str
    """Which step computed at the end; see ``Statistics.decoder``."""
    num_parameters: int
    num_tokens: int
    """Length of each answer that was timed."""
    load_seconds: float
    weight_bytes: int
    memory_bytes: int
    """What the process grew by when the model was loaded."""
    step_bytes: int
    """Weights that one token reads."""
    copy_bytes_per_second: float
    """Of a large copy, read and written bytes together."""
    ceiling_tokens_per_second: float
    """One token cannot take less than reading the weights at the speed of a copy."""
    decode_tokens_per_second: float
    generate_tokens_per_second: float | None = None
    """Plain ``model.generate()`` in the same run, by turns with ours."""
    generate_precision: str = ""
    llama_cpp_tokens_per_second: float | None = None
    first_tokens: tuple[FirstToken, ...] = ()


def format_report(report: Report) -> str:
    """All of it as text."""
    rows = [
        ("Memory, speed of a copy", f"{size(report.copy_bytes_per_second)}/s"),
        (
            f"Ceiling that implies, {size(report.step_bytes)} a token",
            f"{report.ceiling_tokens_per_second:.1f} tokens/s",
        ),
        (
            f"Decode, ours ({report.decoder})",
            f"{report.decode_tokens_per_second:.1f} tokens/s, "
            f"{100 * report.decode_tokens_per_second / report.ceiling_tokens_per_second:.0f} % "
            "of the ceiling",
        ),
    ]
    if report.generate_tokens_per_second is not None:
        ratio = report.decode_tokens_per_second / report.generate_tokens_per_second
        rows.append(
            (
                f"Decode, generate() in {report.generate_precision}",
                f"{report.generate_tokens_per_second:.1f} tokens/s; ours is {ratio:.2f} times that",
            )
        )
    if report.llama_cpp_tokens_per_second is not None:
        ratio = report.decode_tokens_per_second / report.llama_cpp_tokens_per_second
        rows.append(
            (
                "Decode, llama.cpp",
                f"{report.llama_cpp_tokens_per_second:.1f} tokens/s; ours is {ratio:.2f} times "
                "that",
            )
        )
    for item in report.first_tokens:
        rows += _first_token_rows(item)
    rows += [
        ("Load", f"{report.load_seconds:.2f} s"),
        (
            "Memory",
            f"{memory(report.memory_bytes)}, of which weights {memory(report.weight_bytes)}",
        ),
    ]
    width = max(len(name) for name, _ in rows)
    head = (
        f"{report.model} in {report.precision} on {report.device}, {report.num_threads} threads, "
        f"{report.num_parameters:,} parameters, answers of {report.num_tokens} tokens"
    )
    return "\n".join([head, "", *(f"{name:{width}}  {value}" for name, value in rows)])


def _first_token_rows(item: FirstToken) -> list[tuple[str, str]]:
    name = f"First token after {item.num_history_tokens:,} tokens"
    rows = [
        (
            name,
            f"{item.cold_seconds:.2f} s cold, {item.warm_seconds:.3f} s warm, "
            f"{item.ratio:.0f} times faster",
        )
    ]
    others = (("generate()", item.generate_seconds), ("llama.cpp", item.llama_cpp_seconds))
    for other, seconds in others:
        if seconds is not None:
            ratio = seconds / item.cold_seconds
            rows.append((f"  {other}", f"{seconds:.2f} s cold; ours is {ratio:.2f} times as fast"))
    return rows
