"""What the app does with the model screen: opens it, and loads what was chosen there."""

from typing import TYPE_CHECKING

from chatbot.errors import ChatbotError
from chatbot.models.memory import RUNTIME_BYTES
from chatbot.tui.models.rows import Choice
from chatbot.tui.models.screen import ModelScreen, ModelWanted

if TYPE_CHECKING:
    from chatbot.tui.app import ChatApp


def open_models(app: "ChatApp") -> None:
    """Show the models; what is chosen is set and loaded."""
    settings, info = app.manager.settings, app.session.engine.status.info
    choice = Choice(precision=settings.precision, context_length=settings.context_length)
    # The engine's libraries are in memory already, and its model gives its own back.
    given_back = info.weight_bytes + RUNTIME_BYTES if info else 0
    screen = ModelScreen(
        choice,
        info.name if info else "",
        settings.model,
        given_back,
        app.session.config.model_folders,
    )
    app.open_screen(screen, lambda wanted: _chosen(app, wanted))


def _chosen(app: "ChatApp", wanted: ModelWanted | None) -> None:
    if wanted is None:
        return
    engine = app.session.engine
    if wanted.is_forced:
        engine.force(wanted.model)
    for name, value in (
        ("model", wanted.model),
        ("precision", wanted.choice.precision),
        ("context_length", str(wanted.choice.context_length)),
    ):
        try:
            app.manager.change_setting(name, value)
        except ChatbotError as error:
            app.refuse(str(error))
    app.show_settings()
    app.load_model()
