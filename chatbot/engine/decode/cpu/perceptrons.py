"""What is between the attentions of two layers, as instructions for compiled code.

Which experts a token has is known when their turn comes, and no sooner. Compiled code reads it from
memory then, so that a layer stays one program: no weight is read that no token chose. Knows an
``Architecture``'s perceptrons; nothing of layers.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chatbot.engine.decode.architecture import Experts, Perceptron
from chatbot.engine.decode.cpu.kernels.instructions import GATES, Instructions, Kind, instruction
from chatbot.engine.decode.cpu.kernels.products import room_for
from chatbot.engine.decode.cpu.kernels.routing import NUM_BEHIND, NUM_LINES
from chatbot.engine.decode.cpu.kernels.team import TEAM
from chatbot.engine.decode.cpu.workspace import Workspace, between, product
from chatbot.engine.decode.projection import Projection


def perceptron(
    mlp: Perceptron | Experts, activation: str, space: Workspace, source: Tensor, target: Tensor
) -> Iterator[Instructions]:
    """What ``source`` [n, hidden] comes to, written to ``target`` [n, hidden].

    Args:
        mlp: of a layer.
        activation: of its gates.
        space: to work in; of at least as many tokens as there are.
        source: with zeros behind each row, as products read them.
        target: without.

    Raises:
        ValueError: its parts do not fit together.
    """
    if isinstance(mlp, Experts):
        scores = space.rows("scores", mlp.router.num_outputs)
        yield product(mlp.router, source, scores)
        routes = Routes(space, mlp.router.num_outputs, mlp.num_chosen)
        yield routes.choose(scores, sums_to_one=mlp.sums_to_one)
        yield from experts(mlp.gate_up, mlp.down, activation, space, routes, source, target)
        return
    both = space.rows("both", mlp.gate_up.num_outputs)
    gated = space.rows("gated", mlp.down.num_inputs, is_filled=True)
    yield product(mlp.gate_up, source, both)
    yield _gate(activation, both, gated, mlp.down.num_inputs)
    yield product(mlp.down, gated, target)


class Routes:
    """Where compiled code keeps which experts the tokens have: see ``routing``."""

    def __init__(self, space: Workspace, num_experts: int, num_chosen: int) -> None:
        self.num_experts, self.num_chosen = num_experts, num_chosen
        self.chosen = space.rows("chosen", num_chosen, dtype=torch.int64)
        self.shares = space.rows("shares", num_chosen)
        places = space.rows("places", num_chosen, dtype=torch.int64)
        groups = space.rows("groups", NUM_LINES * (num_experts + NUM_BEHIND), dtype=torch.int64)
        self.facts: dict[str, Any] = {
            "num_experts": num_experts,
            "num_chosen": num_chosen,
            "chosen": self.chosen.data_ptr(),
            "shares": self.shares.data_ptr(),
            "places": places.data_ptr(),
            "groups": groups.data_ptr(),
        }
        """What each instruction about them is told."""

    def choose(self, scores: Tensor, *, sums_to_one: bool) -> Instructions:
        """Choose by ``scores`` [n, experts], which are written over."""
        return instruction(
            Kind.CHOOSE, source=scores.data_ptr(), sums_to_one=sums_to_one, **self.facts
        )


def experts(
    gate_up: Projection,
    down: Projection,
    activation: str,
    space: Workspace,
    routes: Routes,
    source: Tensor,
    target: Tensor,
) -> Iterator[Instructions]:
    """What the experts that were chosen come to, together: see ``perceptron``."""
    num, times = routes.num_experts, routes.num_chosen
    spread = space.rows("spread", source.shape[1], times=times)
    both = space.rows("both of experts", gate_up.num_outputs // num, times=times)
    gated = space.rows("gated of experts", down.num_inputs, times=times, is_filled=True)
    outputs = space.rows("outputs", target.shape[1], times=times)
    yield instruction(Kind.GROUP, **routes.facts)
    yield instruction(Kind.SPREAD, **between(source, spread), **routes.facts)
    yield _products(gate_up, spread, both, routes)
    yield _gate(activation, both, gated, down.num_inputs, times)
    yield _products(down, gated, outputs, routes)
    yield instruction(Kind.COLLECT, **between(outputs, target), **routes.facts)


def through_experts(mlp: Experts, activation: str, space: Workspace, rows: Tensor) -> Tensor:
    """What ``rows`` [n, hidden] come to, each by the experts that it chooses: the same shape, in
    ``space``."""
    source = space.filled(rows)
    target = space.rows("target", rows.shape[1])
    run(perceptron(mlp, activation, space, source, target), rows.shape[0])
    return target


def run(program: Iterator[Instructions], num_tokens: int) -> None:
    """Do what a program says, for so many tokens."""
    parts = list(program)
    size = max(room_for(part, num_tokens) for part in parts)
    TEAM.run(np.concatenate(parts), num_tokens, 0, size, torch.get_num_threads())


def _gate(
    activation: str, both: Tensor, gated: Tensor, num_inputs: int, times: int = 1
) -> Instructions:
    if both.shape[1] != 2 * num_inputs:
        raise ValueError(f"{both.shape[1]} numbers are gated, where {num_inputs} are wanted")
    return instruction(
        GATES[activation], **between(both, gated), num_inputs=num_inputs, times=times
    )


def _products(
    projection: Projection, source: Tensor, target: Tensor, routes: Routes
) -> Instructions:
    """The product of each row of ``source`` with the weight of its expert."""
    made = product(projection, source, target, num_weights=routes.num_experts)
    made["kind"][made["kind"] == Kind.PRODUCT] = Kind.PRODUCTS
    made["num_outputs"], made["times"] = target.shape[1], routes.num_chosen
    for name, value in routes.facts.items():
        made[name] = value
    return made
