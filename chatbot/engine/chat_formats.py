"""How a conversation is written for models whose tokenizer brings no template.

Each form is a template of our own, written after what its family was trained on. Which model
has which is in the catalogue; a model that nobody knows gets the plain form. Knows no
tokenizer.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from chatbot.models.catalogue import find_entry


class ChatFormat(msgspec.Struct, frozen=True, kw_only=True):
    """One way to write down a conversation."""

    name: str
    template: str
    """In Jinja, as a tokenizer would bring it."""
    stops: tuple[str, ...] = ()
    """Strings before which an answer ends."""
    has_gap: bool = False
    """Whether an answer starts with a space that belongs to the form."""
    newline: str = ""
    """What the model reads and writes for a line break, where that is not one."""


_LLAMA2: Final = (
    "{% set has_system = messages[0].role == 'system' %}"
    "{% for message in messages[1:] if has_system %}"
    "{% if message.role == 'user' %}"
    "{{ bos_token }}[INST] {% if loop.first %}<<SYS>>\n{{ messages[0].content }}\n<</SYS>>\n\n"
    "{% endif %}{{ message.content.strip() }} [/INST]"
    "{% else %} {{ message.content.strip() }} {{ eos_token }}{% endif %}{% endfor %}"
    "{% for message in messages if not has_system %}"
    "{% if message.role == 'user' %}{{ bos_token }}[INST] {{ message.content.strip() }} [/INST]"
    "{% else %} {{ message.content.strip() }} {{ eos_token }}{% endif %}{% endfor %}"
)

_RINNA: Final = (
    "{% for message in messages %}"
    "{% if message.role == 'user' %}ユーザー: {% elif message.role == 'assistant' %}システム: "
    "{% endif %}{{ message.content.strip() | replace('\n', '<NL>') }}<NL>{% endfor %}"
    "{% if add_generation_prompt %}システム: {% endif %}"
)

_FALCON: Final = (
    "{% for message in messages %}"
    "{% if message.role == 'user' %}User: {% elif message.role == 'assistant' %}Falcon: "
    "{% else %}System: {% endif %}{{ message.content.strip() }}\n{% endfor %}"
    "{% if add_generation_prompt %}Falcon:{% endif %}"
)

_PHI2: Final = (
    "{% for message in messages %}"
    "{% if message.role == 'user' %}Instruct: {{ message.content.strip() }}\n"
    "{% elif message.role == 'assistant' %}Output: {{ message.content.strip() }}\n"
    "{% else %}{{ message.content.strip() }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}Output:{% endif %}"
)

FORMATS: Final[Mapping[str, ChatFormat]] = {
    form.name: form
    for form in (
        ChatFormat(name="llama2", template=_LLAMA2, has_gap=True),
        ChatFormat(
            name="rinna",
            template=_RINNA,
            stops=("\nユーザー:", "ユーザー:", "\nシステム:"),
            newline="<NL>",
        ),
        ChatFormat(
            name="falcon",
            template=_FALCON,
            stops=("\nUser:", "\nSystem:", "\nFalcon:"),
            has_gap=True,
        ),
        ChatFormat(name="phi2", template=_PHI2, stops=("\nInstruct:", "\nOutput:"), has_gap=True),
    )
}

_BY_OWNER: Final[Mapping[str, str]] = {"elyza/elyza-japanese-llama-2": "llama2", "rinna/": "rinna"}
"""Beginnings of hub ids whose models all share a form that no tokenizer of theirs brings."""


def format_of(reference: str, own_name: str = "") -> ChatFormat | None:
    """The form for a model without a template; None for the plain one.

    Args:
        reference: what it is loaded by.
        own_name: what its configuration calls it; a hub id as a rule.
    """
    for name in filter(None, (reference, own_name)):
        if entry := find_entry(name):
            return FORMATS.get(entry.chat_format)
        for beginning, form in _BY_OWNER.items():
            if name.lower().startswith(beginning):
                return FORMATS[form]
    return None
