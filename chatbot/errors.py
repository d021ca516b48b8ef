"""Every error the program raises on purpose.

The text of each is one sentence that a user can act on, so that every face may show
``str(error)`` as it is. Knows nothing of what raises or shows them.
"""


class ChatbotError(Exception):
    """The root: catching it catches everything that the program reports by design."""


class ConfigError(ChatbotError):
    """A configuration file cannot be read or written."""


class SettingError(ChatbotError):
    """A setting's name is unknown, or its value is outside the allowed range."""


class ThemeError(ChatbotError):
    """A theme file is broken; the text names the file and the entry."""


class ModelError(ChatbotError):
    """A model cannot be found, converted, loaded or run."""


class ModelFitError(ModelError):
    """A model is too large for the memory that is free; it is loaded only when asked again."""


class ContextError(ChatbotError):
    """A question does not fit the model's context window even without any history."""


class WorkerError(ChatbotError):
    """A worker process could not be started, ended unexpectedly, or broke the protocol."""


class CommandError(ChatbotError):
    """A slash command is unknown or its arguments are wrong."""


class StoppedError(ChatbotError):
    """The user stopped something before there was anything to keep of it."""


class AttachmentError(ChatbotError):
    """A file cannot be attached to a question; nothing was asked."""


class StoreError(ChatbotError):
    """The chats on the disk cannot be read or written, or what was asked for is not there."""


class FormatError(ChatbotError):
    """A file of chats to import is broken, or of no known format."""


class PromptError(ChatbotError):
    """A prompt of the library is broken or cannot be rendered; the text names the file."""


class PromptUsageError(PromptError):
    """There is no prompt of that name, or its variables are missing, unknown or not allowed."""


class KnowledgeError(ChatbotError):
    """A knowledge folder, or a document in it, cannot be found, read, indexed or searched."""


class NotIndexedError(KnowledgeError):
    """A knowledge folder has no index yet; it may have one in a moment."""


class ToolError(ChatbotError):
    """A tool cannot be defined, called or run; the text is for the model and the user."""


class ToolChangedError(ToolError):
    """A tool is not the one any more that was listed; calling it again may do."""
