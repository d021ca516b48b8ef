"""Markdown for text that may be hostile.

Cleaning the source is not enough: the parser itself makes characters, out of entities
(``&#8238;``) and out of percent signs in links. So what it makes is cleaned as well.
"""

from typing import TYPE_CHECKING

from chatbot.terminal_text import clean, is_safe

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_core import StateCore
    from markdown_it.token import Token

    from chatbot.tui.chat.growing_markdown import GrowingMarkdown


def safe_markdown(text: str) -> "GrowingMarkdown":
    """A widget that shows ``text``; links are not followed.

    Markdown and its parser are imported only now: the first frame has no use for them.
    """
    from chatbot.tui.chat.growing_markdown import GrowingMarkdown

    return GrowingMarkdown(text, _make_parser)


def prepare() -> None:
    """Import what the first answer will need, and the parser's tables; in a thread of its own, it
    holds nothing up.
    """
    from chatbot.tui.chat import growing_markdown

    _make_parser().parse(f"`{growing_markdown.__name__}` https://example.org")


def _make_parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    # HTML is shown as it is written: Textual would leave it out, and nothing is to be hidden.
    parser = MarkdownIt("gfm-like", {"html": False})
    # Looks back over all of a paragraph at each colon; the rule of the core finds the same links.
    parser.inline.ruler.disable("linkify")
    parser.core.ruler.push("clean", _clean_state)
    return parser


def _clean_state(state: "StateCore") -> None:
    for token in state.tokens:
        _clean_token(token)


def _clean_token(token: "Token") -> None:
    if not is_safe(token.content):
        token.content = clean(token.content)
    for child in token.children or ():
        _clean_token(child)
