"""An engine process without a model: speaks the real protocol and follows a script.

Started by tests in place of ``python -m chatbot.engine``. The environment is its script:
``SCRIPT_ANSWER`` is a file that every answer is read from, ``SCRIPT_DELAY`` the seconds
between two words, ``SCRIPT_PARAMETERS`` how large the model is. A question of the form ``exit N``
ends the process with that status, ``kill`` kills it after three words. Models called
``missing…`` cannot be loaded. A line ``read N`` makes a prompt of N tokens that takes a hundred
words' time to read. A line ``think …`` is thought before the answer, a word at a time,
and one ``call NAME JSON`` calls a tool if there are any; what the tools said is then the answer.
``SCRIPT_DIALECT`` is the model's way to call, ``SCRIPT_DEVICE`` where it is said to run.
``SCRIPT_SWITCH`` says whether it can be told to think or not (see ``ThinkingSwitch``); where it is
told not to, it thinks nothing.
"""

import math
import os
import queue
import re
import signal
import sys
import threading
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from chatbot.engine.protocol import EngineRequest
from chatbot.engine.protocol.answer import (
    Delta,
    Generate,
    Generated,
    Held,
    SamplingApplied,
    ThinkingCut,
    ThinkingDelta,
    TokensRecorded,
    ToolCallReady,
    ToolCallStarted,
)
from chatbot.engine.protocol.loading import Adapt, Adapted, Load, Loaded, LoadProgress
from chatbot.engine.protocol.model_info import AdapterInfo, ModelInfo
from chatbot.engine.protocol.prompt import Count, Counted, PromptProgress, Render, Rendered
from chatbot.engine.protocol.steering import AnswerNow, Cancel, Hold, SetSampling, SetSamplings
from chatbot.engine.protocol.variants import (
    BeamsMoved,
    GenerateVariants,
    SearchBeams,
    VariantDelta,
    VariantDone,
    VariantSamplingApplied,
    VariantsGenerated,
    VariantsHeld,
    VariantThinkingCut,
    VariantTokens,
)
from chatbot.messages import Statistics
from chatbot.settings import Sampling
from chatbot.tokens import Alternative, Beam, ReadingProgress, TokenRecord
from chatbot.worker.protocol import Failed
from chatbot.worker.server import Channel

DELAY = float(os.environ.get("SCRIPT_DELAY", "0.01"))
LOAD_SECONDS = float(os.environ.get("SCRIPT_LOAD_SECONDS", "0"))
WINDOW = int(os.environ.get("SCRIPT_WINDOW", "8192"))
NUM_PARAMETERS = int(os.environ.get("SCRIPT_PARAMETERS", "134515008"))


SAMPLING = Sampling()


def tokens_of(text: str) -> int:
    return len(text.split()) + 4


def answer_to(request: Generate) -> str:
    if request.continue_last:
        return f" and on after {request.messages[-1].content.split()[-1]}."
    if file := os.environ.get("SCRIPT_ANSWER"):
        return Path(file).read_bytes().decode("utf-8", "surrogatepass")
    question = request.messages[-1].content
    if request.messages[-1].role == "tool":
        results = [m.content for m in request.messages if m.role == "tool"]
        return f"The tools said: {'; '.join(results)}"
    return f"You said: {question}\n\nThat is **all** there is to say about it."


def record_of(piece: str) -> TokenRecord:
    """A word as a token: how certain it is goes by its length, and six others are less likely."""
    before = (0.97, 0.64, 0.31, 0.07)[len(piece) % 4]
    others = ("perhaps ", "never ", "a ", "lighthouse ", "the ", "\n")
    left = 1 - before
    shares = [(piece, before)]
    for other in others:
        left /= 2
        shares.append((other, left))
    shares.sort(key=lambda share: -share[1])
    kept = [(text, share) for text, share in shares[:3]]
    total = sum(share for _, share in kept)
    alternatives = tuple(
        Alternative(zlib.crc32(text.encode()) % 50_000, text, share, share / total * (n < 3))
        for n, (text, share) in enumerate(shares)
    )
    rank = [text for text, _ in shares].index(piece) + 1
    chosen = alternatives[rank - 1]
    return TokenRecord(
        chosen.token,
        piece,
        "text",
        before,
        chosen.after,
        rank,
        rank if chosen.after else len(shares),
        sum(-share * math.log2(share) for _, share in shares),
        sum(-a.after * math.log2(a.after) for a in alternatives if a.after),
        alternatives,
    )


def read_prompt(channel: Channel[EngineRequest], request_id: int, question: str) -> None:
    """Take long over the prompt, if the question says so."""
    for line in question.splitlines():
        if line.startswith("read "):
            for tenth in range(1, 11):
                progress = ReadingProgress(
                    num_tokens=int(line[5:]),
                    num_cached_tokens=0,
                    num_read_tokens=int(line[5:]) * tenth // 10,
                    seconds=tenth + 2.0,
                )
                channel.send(PromptProgress(request_id=request_id, progress=progress))
                time.sleep(DELAY * 10)


def think(
    channel: Channel[EngineRequest],
    request: Generate,
    words: Sequence[str],
    inbox: "queue.Queue[EngineRequest]",
) -> None:
    """Think these words, unless the user wants the answer."""
    wanted = AnswerNow(target=request.id)
    for number, word in enumerate(words, 1):
        with inbox.mutex:
            is_wanted = any(msgspec.structs.replace(m, id=0) == wanted for m in inbox.queue)
            is_stopped = any(isinstance(m, Cancel) for m in inbox.queue)
        if is_stopped:
            return
        if is_wanted:
            channel.send(ThinkingCut(request_id=request.id))
            return
        channel.send(
            ThinkingDelta(
                request_id=request.id,
                text=f"{word} ",
                num_tokens=number,
                num_thinking_tokens=number,
                # The same in every run, so that pictures of the screen are.
                thinking_seconds=number / 50,
            )
        )
        time.sleep(DELAY)


def generate(channel: Channel[EngineRequest], request: Generate, inbox: "queue.Queue") -> None:
    question = request.messages[-1].content
    sampling = request.sampling
    reason = "stop"
    read_prompt(channel, request.id, question)
    for line in question.splitlines() if request.messages[-1].role == "user" else ():
        if line.startswith("think ") and request.thinking is not False:
            think(channel, request, line[6:].split(), inbox)
        elif line.startswith("call ") and request.tools:
            name, _, arguments = line[5:].partition(" ")
            index = question.splitlines().index(line)
            channel.send(ToolCallStarted(request_id=request.id, index=index, name=name))
            channel.send(
                ToolCallReady(
                    request_id=request.id, index=index, name=name, arguments=arguments, raw=line
                )
            )
            reason = "tool_calls"
    if reason == "tool_calls":
        statistics = Statistics(
            num_prompt_tokens=20,
            num_cached_tokens=0,
            num_new_tokens=5,
            first_token_seconds=0.01,
            decode_seconds=0.1,
        )
        channel.send(
            Generated(request_id=request.id, finish_reason="tool_calls", statistics=statistics)
        )
        return
    pieces = re.findall(r"\S+\s*|\s+", answer_to(request))
    num_new = 0
    later = []
    steps: int | None = None
    for piece in pieces:
        has_told = False
        while not inbox.empty() or (steps == 0 and reason != "cancelled"):
            if steps == 0 and inbox.empty() and not has_told:
                channel.send(Held(request_id=request.id))
                has_told = True
            message = inbox.get()
            if isinstance(message, Cancel) and message.target == request.id:
                reason = "cancelled"
            elif isinstance(message, SetSampling) and message.target == request.id:
                sampling = message.sampling
                applied = SamplingApplied(
                    request_id=request.id, sampling=sampling, num_tokens=num_new
                )
                channel.send(applied)
            elif isinstance(message, Hold) and message.target == request.id:
                steps = message.num_steps
            elif isinstance(message, AnswerNow):
                pass
            else:
                later.append(message)
        if reason == "cancelled":
            break
        if num_new >= sampling.max_tokens:
            reason = "length"
            break
        if num_new == 3 and question == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if question.startswith("exit "):
            os._exit(int(question[5:]))
        num_new += 1
        # With a temperature the words are shouted, so that a change can be seen.
        text = piece.upper() if sampling.temperature > 1 else piece
        channel.send(Delta(request_id=request.id, text=text, num_tokens=num_new))
        if request.num_alternatives:
            record = record_of(text)
            channel.send(TokensRecorded(request_id=request.id, tokens=(record,)))
        steps = steps - 1 if steps else steps
        time.sleep(DELAY)
    for message in later:
        inbox.put(message)
    statistics = Statistics(
        num_prompt_tokens=sum(tokens_of(m.content) for m in request.messages) + 3,
        num_cached_tokens=0,
        num_new_tokens=num_new,
        first_token_seconds=0.01,
        # The same in every run, so that pictures of the screen are.
        decode_seconds=num_new / 50,
    )
    channel.send(
        Generated(request_id=request.id, finish_reason=reason, statistics=statistics)  # type: ignore[arg-type]
    )


def generate_variants(
    channel: Channel[EngineRequest],
    request: GenerateVariants | SearchBeams,
    inbox: "queue.Queue",
) -> None:
    """Each answer is the one that there would be alone, and which it is; all word by word.

    The first is the shortest. A search shows at each step what each beam says so far.
    """
    question = request.messages[-1].content
    read_prompt(channel, request.id, question)
    is_search = isinstance(request, SearchBeams)
    samplings = (request.sampling,) if is_search else request.samplings
    number = request.num_beams if is_search else len(samplings)
    whole = answer_to(Generate(id=0, messages=request.messages, sampling=SAMPLING))
    words = [re.findall(r"\S+\s*|\s+", f"{whole} Answer {n + 1}.") for n in range(number)]
    words = [w if n else w[1:] for n, w in enumerate(words)]
    thoughts = [line[6:].split() for line in question.splitlines() if line.startswith("think ")]
    thinks = bool(thoughts) and not is_search and request.thinking is not False
    thought = thoughts[0] if thinks else []
    num_thought = 0
    wants_answer = False
    ended: dict[int, str] = {}
    later = []
    num_new = 0
    steps: int | None = None
    while len(ended) < number:
        has_told = False
        while not inbox.empty() or (steps == 0 and len(ended) < number):
            if steps == 0 and inbox.empty() and not has_told:
                num_tokens = num_thought + num_new
                channel.send(VariantsHeld(request_id=request.id, num_tokens=num_tokens))
                has_told = True
            message = inbox.get()
            if isinstance(message, Cancel) and message.target == request.id:
                ended |= {n: "cancelled" for n in range(number) if n not in ended}
            elif isinstance(message, SetSamplings) and message.target == request.id:
                samplings = message.samplings
                for n in () if is_search else sorted({*range(number)} - {*ended}):
                    told = VariantSamplingApplied(
                        request_id=request.id,
                        variant=n,
                        sampling=samplings[n],
                        num_tokens=num_thought + num_new,
                    )
                    channel.send(told)
            elif isinstance(message, Hold) and message.target == request.id:
                steps = message.num_steps
            elif isinstance(message, AnswerNow):
                wants_answer = message.target == request.id
            else:
                later.append(message)
        if num_new == 3 and question == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if num_thought < len(thought) and len(ended) < number:
            if wants_answer:
                thought = thought[:num_thought]
                for n in range(number):
                    channel.send(VariantThinkingCut(request_id=request.id, variant=n))
            else:
                num_thought += 1
                for n in range(number):
                    told = VariantDelta(
                        request_id=request.id,
                        variant=n,
                        text=f"{thought[num_thought - 1]} ",
                        num_tokens=num_thought,
                        is_thinking=True,
                        num_thinking_tokens=num_thought,
                        thinking_seconds=num_thought / 50,
                    )
                    channel.send(told)
                steps = steps - 1 if steps else steps
                time.sleep(DELAY)
                continue
        num_new += 1
        if is_search:
            live = tuple(
                Beam("".join(w[:num_new]), -0.3 * num_new - n, -0.3 - n / num_new, num_new, n)
                for n, w in enumerate(words)
            )
            channel.send(BeamsMoved(request_id=request.id, num_tokens=num_new, live=live))
        for n, own in enumerate(words):
            if n in ended:
                continue
            if num_new > len(own):
                ended[n] = "stop"
                if is_search:
                    told = VariantDelta(
                        request_id=request.id, variant=n, text="".join(own), num_tokens=num_new
                    )
                    channel.send(told)
                    if request.num_alternatives:
                        records = tuple(map(record_of, own))
                        told = VariantTokens(request_id=request.id, variant=n, tokens=records)
                        channel.send(told)
                tell_end(channel, request.id, n, "stop", len(own), is_search)
                continue
            if is_search:
                continue
            piece = own[num_new - 1]
            if samplings[n].temperature > 1:  # as in a single answer, to be seen
                piece = piece.upper()
            told = VariantDelta(
                request_id=request.id, variant=n, text=piece, num_tokens=num_thought + num_new
            )
            channel.send(told)
            if request.num_alternatives:
                record = record_of(piece)
                channel.send(VariantTokens(request_id=request.id, variant=n, tokens=(record,)))
        steps = steps - 1 if steps else steps
        time.sleep(DELAY)
    for n, reason in ended.items():
        if reason == "cancelled":
            tell_end(channel, request.id, n, reason, num_new, is_search)
    for message in later:
        inbox.put(message)
    num_prompt = sum(tokens_of(m.content) for m in request.messages) + 3
    channel.send(
        VariantsGenerated(
            request_id=request.id,
            num_prompt_tokens=num_prompt,
            num_read_tokens=num_prompt,
            num_new_tokens=sum(map(len, words)),
            seconds=num_new / 50,
        )
    )


def tell_end(
    channel: Channel[EngineRequest], key: int, variant: int, reason: str, size: int, scored: bool
) -> None:
    statistics = Statistics(
        num_prompt_tokens=20,
        num_cached_tokens=20 if variant else 0,
        num_new_tokens=size,
        first_token_seconds=0.01,
        decode_seconds=size / 50,
    )
    channel.send(
        VariantDone(
            request_id=key,
            variant=variant,
            finish_reason=reason,  # type: ignore[arg-type]
            statistics=statistics,
            score=-0.3 - variant if scored else None,
        )
    )


def main() -> None:
    channel: Channel[EngineRequest] = Channel(EngineRequest)
    inbox: queue.Queue[EngineRequest] = queue.Queue()

    def read() -> None:
        for request in channel.requests():
            inbox.put(request)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        request = inbox.get()
        match request:
            case Load(model=model) if model.startswith("missing"):
                message = f"There is no model {model!r}; name another."
                channel.send(Failed(request_id=request.id, message=message, kind="ModelError"))
            case Load():
                for step in range(10):
                    channel.send(
                        LoadProgress(request_id=request.id, stage="Loading", fraction=step / 10)
                    )
                    time.sleep(LOAD_SECONDS / 10)
                info = ModelInfo(
                    name=request.model,
                    precision="bf16" if request.precision == "auto" else request.precision,
                    device=os.environ.get("SCRIPT_DEVICE", "cpu"),
                    context_length=WINDOW,
                    num_parameters=NUM_PARAMETERS,
                    load_seconds=LOAD_SECONDS,
                    tool_dialect=os.environ.get("SCRIPT_DIALECT", ""),
                    thinks=True,
                    thinking_switch=os.environ.get("SCRIPT_SWITCH", "none"),  # type: ignore
                )
                channel.send(Loaded(request_id=request.id, info=info))
            case Adapt(adapters=adapters) if any("missing" in a.path for a in adapters):
                message = "There is no adapter of that name; give the folder that peft wrote."
                channel.send(Failed(request_id=request.id, message=message, kind="ModelError"))
            case Adapt(adapters=adapters):
                used = tuple(
                    AdapterInfo(
                        path=a.path,
                        name=Path(a.path).name,
                        weight=a.weight,
                        rank=4,
                    )
                    for a in adapters
                )
                info = msgspec.structs.replace(info, adapters=used)
                channel.send(Adapted(request_id=request.id, info=info))
            case Count(messages=messages, continue_last=continues):
                sizes = tuple(tokens_of(m.content) for m in messages)
                # Told not to think, its prompt has an empty thought in it.
                opening = 0 if continues else 5 if request.thinking is False else 3
                channel.send(
                    Counted(
                        request_id=request.id,
                        message_tokens=sizes,
                        generation_prompt_tokens=opening,
                        thinking_tokens=sum(len(m.thinking.split()) for m in messages),
                    )
                )
            case Render(messages=messages, continue_last=continues):
                text = "".join(f"<|{m.role}|>\n{m.content}\n" for m in messages)
                text = text[:-1] if continues else text + "<|assistant|>\n"
                text += "<think></think>" if request.thinking is False else ""
                channel.send(Rendered(request_id=request.id, text=text, num_tokens=len(text)))
            case GenerateVariants() | SearchBeams():
                generate_variants(channel, request, inbox)
            case Generate():
                generate(channel, request, inbox)
            case _:
                print("ignored", request, file=sys.stderr)


if __name__ == "__main__":
    main()
