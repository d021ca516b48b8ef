"""A cross-encoder that reads query and passage together, by name.

Slower than ranking by far, and not always better: only for users who name one.
"""

from collections.abc import Sequence
from typing import Final

from chatbot.errors import KnowledgeError
from chatbot.retrieval.embedding import best_device
from chatbot.retrieval.models import find_model_folder, first_line

_BATCH_SIZE: Final = 16


class CrossEncoderReranker:
    """A cross-encoder of sentence-transformers, loaded.

    Args:
        reference: a hub id or a folder.
        device: ``cuda``, ``mps`` or ``cpu``; the best there is, when not given.

    Raises:
        KnowledgeError: it cannot be found, fetched or loaded, or gives more than one score.
    """

    def __init__(self, reference: str, device: str | None = None) -> None:
        folder = find_model_folder(reference)
        try:
            from sentence_transformers import CrossEncoder
            from torch.nn import Sigmoid

            self._model = CrossEncoder(
                str(folder),
                device=device or best_device(),
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True},
                activation_fn=Sigmoid(),
            )
        except Exception as error:  # libraries raise anything at all on a broken model
            raise KnowledgeError(
                f"The reranker {reference} cannot be loaded ({first_line(error)}); fetch it again, "
                "choose another, or use none."
            ) from error
        if self._model.num_labels != 1:
            raise KnowledgeError(
                f"{reference} is no reranker, as it gives {self._model.num_labels} scores in place "
                "of one; choose another, or use none."
            )

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """How well each text answers the query, 0 to 1."""
        if not texts:
            return []
        scores = self._model.predict(
            [(query, text) for text in texts], batch_size=_BATCH_SIZE, show_progress_bar=False
        )
        return [float(score) for score in scores]
