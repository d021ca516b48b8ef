"""What a command ends with, for whoever started it."""

from typing import Final

FAILED: Final = 1
WRONG_USAGE: Final = 2
INTERRUPTED: Final = 130
"""As a shell has it after Ctrl+C."""
