"""Types of parameters that several built-in tools have."""

from typing import Annotated

import msgspec

Line = Annotated[str, msgspec.Meta(max_length=200)]
"""A few words. The bound is in the schema, to which calls are held while they are written: it
keeps a small model from writing on and on."""
