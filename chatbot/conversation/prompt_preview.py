"""The prompt, looked at without asking: what the next one would consist of, and its very text."""

from collections.abc import Sequence

from chatbot.conversation.attachments import files_to_keep
from chatbot.conversation.manager import ConversationManager, new_question
from chatbot.conversation.prompt_building import build_prompt
from chatbot.conversation.source_block import sources_of
from chatbot.engine.protocol.prompt import Render, Rendered
from chatbot.errors import CommandError
from chatbot.events import PromptBuilt
from chatbot.messages import Message


async def preview_prompt(
    manager: ConversationManager,
    draft: str,
    files: Sequence[str] = (),
    edited: Message | None = None,
) -> PromptBuilt | None:
    """What the next prompt would consist of, if ``draft`` were asked now.

    Args:
        manager: the conversation that it would go on with.
        draft: as far as it is written.
        files: to be attached to it, by name.
        edited: the question that it is in other words; None for a new one.

    Returns:
        None while no model is loaded.

    Raises:
        AttachmentError: a file cannot be attached.
        ContextError: the draft does not fit the window.
        ChatbotError: the engine cannot count.
    """
    info = manager.engine.status.info
    if info is None:
        return None
    attached = await manager.attachments.read(files) if manager.attachments else ()
    above: Sequence[Message] = manager.conversation.path()
    if edited and edited.id in manager.conversation:
        attached = (*files_to_keep(edited, draft, files), *attached)
        above = manager.conversation.path(edited.id)[:-1]
    path = (*above, new_question(draft, above[-1].id if above else None, attached))
    pinned = manager.conversation.pinned
    tools = manager.tools.schemas(info) if manager.tools else ()
    prompt = await build_prompt(
        manager.engine, path, manager.settings, info, pinned=pinned, tools=tools
    )
    return prompt.built


async def render_prompt(manager: ConversationManager) -> Rendered:
    """The very text that the model was last given, or would be given now.

    Raises:
        CommandError: nothing was asked yet.
        ChatbotError: the engine cannot render it.
    """
    info = await manager.engine.ensure_loaded(manager.settings.model, manager.settings.precision)
    question = manager.conversation.last("user")
    if question is None:
        raise CommandError("There is no prompt yet; ask a question first.")
    path = manager.conversation.path()
    after = path[path.index(question) + 1 :]
    found = sources_of(after[0]) if after else manager.found
    tools = manager.tools.schemas(info) if manager.tools else ()
    prompt = await build_prompt(
        manager.engine,
        manager.conversation.path(question.id),
        manager.settings,
        info,
        pinned=manager.conversation.pinned,
        found=found,
        tools=tools,
    )
    return await manager.engine.render(
        Render(messages=prompt.messages, tools=tuple(tools), thinking=manager.settings.thinks)
    )
