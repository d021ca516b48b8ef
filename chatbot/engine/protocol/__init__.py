"""What the engine can be asked, and what it answers: one module for each thing it can do.

Each request stands with the events that answer it. Requests are carried out one after the other;
those in ``steering`` alone overtake. Imports no torch.
"""

from chatbot.engine.protocol.answer import AnswerEvent, Generate
from chatbot.engine.protocol.loading import (
    Adapt,
    Adapted,
    Load,
    Loaded,
    LoadProgress,
    Prepare,
    Prepared,
)
from chatbot.engine.protocol.prompt import Count, Counted, Render, Rendered
from chatbot.engine.protocol.steering import AnswerNow, Cancel, Hold, SetSampling, SetSamplings
from chatbot.engine.protocol.variants import GenerateVariants, SearchBeams, VariantEvent
from chatbot.worker.protocol import Failed

EngineRequest = (
    Load
    | Prepare
    | Adapt
    | Count
    | Render
    | Generate
    | GenerateVariants
    | SearchBeams
    | Cancel
    | SetSampling
    | SetSamplings
    | Hold
    | AnswerNow
)
EngineEvent = (
    LoadProgress
    | Loaded
    | Prepared
    | Adapted
    | Counted
    | Rendered
    | AnswerEvent
    | VariantEvent
    | Failed
)
