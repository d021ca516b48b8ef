"""Every way in which the hub refuses or fails, as one sentence a user can act on."""

from chatbot.errors import ModelError
from chatbot.models.library_errors import first_sentence, is_disk_full

TOKENS_PAGE = "https://huggingface.co/settings/tokens"


def is_transport(error: BaseException) -> bool:
    """Whether the network failed, not the hub."""
    # Which HTTP library the hub's client uses differs from version to version.
    kinds = {base.__name__ for base in type(error).__mro__}
    return bool(kinds & {"TransportError", "RemoteProtocolError"}) or isinstance(
        error, ConnectionError | TimeoutError
    )


def explain(hub_id: str, error: Exception, *, has_token: bool) -> ModelError:
    """``error`` as one that may be shown.

    Args:
        hub_id: what was asked for.
        error: what the hub's client, or writing to the disk, raised.
        has_token: whether the user is logged in.
    """
    from huggingface_hub import errors

    status = getattr(getattr(error, "response", None), "status_code", 0)
    if isinstance(error, ModelError):
        return error
    if isinstance(error, errors.GatedRepoError):
        page = f"https://huggingface.co/{hub_id}"
        if has_token:
            return ModelError(
                f"Your token is not allowed to read {hub_id} yet: accept its licence on {page} "
                "with the same account, and wait where that page says so."
            )
        return ModelError(
            f"{hub_id} is only given to people who accepted its licence: accept it on {page}, "
            f"make a token on {TOKENS_PAGE}, and set it as HF_TOKEN or run: hf auth login"
        )
    if isinstance(error, errors.RepositoryNotFoundError) or status == 404:
        return ModelError(
            f"There is no model {hub_id} on the hub, or it is private: check its spelling, or "
            "set HF_TOKEN to a token that may read it."
        )
    if status == 401:
        return ModelError(
            f"The hub does not accept your token: make a new one on {TOKENS_PAGE} and set it as "
            "HF_TOKEN."
        )
    if status == 403:
        return ModelError(
            f"The hub does not let you read {hub_id}: look at https://huggingface.co/{hub_id}, "
            f"and use a token that may ({TOKENS_PAGE})."
        )
    if is_disk_full(error):
        return ModelError(f"The disk is too full to download {hub_id}; free some space.")
    if is_transport(error) or isinstance(error, errors.LocalEntryNotFoundError):
        return ModelError(
            f"{hub_id} is not on this machine and the hub cannot be reached; check the network, "
            "or give a folder or a .gguf file instead."
        )
    if status == 429:
        return ModelError("The hub has had too many requests from here; try again in a while.")
    if status >= 500:
        return ModelError(f"The hub is out of order ({status}); try again later.")
    return ModelError(f"{hub_id} could not be downloaded: {first_sentence(error)}.")
