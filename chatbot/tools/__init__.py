"""What a tool is, its schema, validation, approval and execution.

A user's own file of tools needs one name from here: ``from chatbot.tools import tool``.
Knows nothing of models, prompts or screens; imports no torch.
"""

from chatbot.tools.decorator import tool

__all__ = ["tool"]
