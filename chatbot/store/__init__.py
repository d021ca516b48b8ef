"""The chats on the disk: one SQLite file that several running programs can share.

Knows messages as values. Knows neither the tree that they form in memory, nor the engine,
nor a screen.
"""

from typing import Final

LATEST: Final = "latest"
"""Stands for the chat with the last message, where a chat's id is asked for."""
