"""What has to be there before what is asked only once: in a pipe, or by ``ask``."""

from chatbot.plain.index_progress import IndexPrinter
from chatbot.session import Session


async def prepare_first(session: Session) -> None:
    """Bring the folders up to date, and show how that goes, before the first question or search;
    have the tools listed.

    Raises:
        ChatbotError: it cannot be done, or the user broke it off.
    """
    printer = IndexPrinter()
    session.retrieval.on_status(printer.show)
    try:
        await session.knowledge.bring_up_to_date()
    finally:
        printer.close()
    await session.tools.started()
