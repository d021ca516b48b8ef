"""The experts of a layer in the form that this processor multiplies fastest.

Stands in a model in the place of transformers' own, and can be asked for the same. Knows
transformers' modules by what they are called; nothing of caches and steps.
"""

from typing import Any

from torch import Tensor, nn

from chatbot.engine.decode.architecture import ACTIVATIONS
from chatbot.engine.decode.cpu.projections import DirectProjection


class PackedExperts(nn.Module):
    """Experts whose weights are in two projections."""

    def __init__(self, experts: Any, gate_up: DirectProjection, down: DirectProjection) -> None:
        """Stand in the place of ``experts``, of transformers, with these weights of all of them."""
        super().__init__()
        self.hidden_dim, self.intermediate_dim = experts.hidden_dim, experts.intermediate_dim
        self.act_fn = experts.act_fn
        self.num_experts = int(experts.num_experts)
        self.gate_up_proj, self.down_proj = gate_up, down

    @property
    def projections(self) -> tuple[DirectProjection, ...]:
        """All that is packed."""
        return self.gate_up_proj, self.down_proj

    def forward(self, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
        """What the experts come to, together.

        Args:
            hidden_states: [n, hidden].
            top_k_index: the experts of each row: [n, experts for each].
            top_k_weights: what each of them counts for; the same shape.
        """
        from chatbot.engine.decode.cpu import perceptrons, workspace  # a compiler comes with it

        num_rows, size = hidden_states.shape
        space = workspace.Workspace(num_rows)
        routes = perceptrons.Routes(space, self.num_experts, top_k_index.shape[1])
        routes.chosen.copy_(top_k_index)
        routes.shares.copy_(top_k_weights)
        target = space.rows("target", size)
        program = perceptrons.experts(
            self.gate_up_proj,
            self.down_proj,
            ACTIVATIONS[type(self.act_fn)],
            space,
            routes,
            space.filled(hidden_states),
            target,
        )
        perceptrons.run(program, num_rows)
        return target.to(hidden_states.dtype)
