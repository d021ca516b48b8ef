"""What a command ends with, for whoever started it."""

from typing import Final

FAILED: Final = 1
INTERRUPTED: Final = 130
"""As a shell has it after Ctrl+C."""
