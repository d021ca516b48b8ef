"""How large a file may be. Everything beyond is refused with a sentence that says so.

Kept apart, so that finding, opening and reading agree on it.
"""

from typing import Final

MAX_FILE_BYTES: Final = 64 * 2**20
"""PDF, what offices write, EPUB, notebooks and e-mail, whose size is mostly pictures: books of a
thousand pages fit."""

MAX_TEXT_BYTES: Final = 16 * 2**20
"""Formats that are text themselves: three times the Bible. Larger ones are data or logs, in
which 80,000 passages of noise would drown everything else."""

MAX_TEXT_CHARACTERS: Final = 10_000_000
"""Text extracted from one file: a whole document must fit into one message of a worker."""

MAX_HEADINGS: Final = 20_000
"""Headings of one document; further ones are left in the text as ordinary lines."""
