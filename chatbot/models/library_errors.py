"""What errors of libraries say, in a form that fits into a sentence. Imports no library."""

import errno
import re


def is_disk_full(error: BaseException) -> bool:
    """Whether writing failed for want of space, also where a library wrapped the error."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "no space left on device" in str(error).lower()


def first_sentence(error: BaseException) -> str:
    """What a library's error says, as one short line without a closing full stop."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.split(r"(?<=[a-z)'\"`])\.\s", text, maxsplit=1)[0]
    return text[:300].rstrip(" .:")
