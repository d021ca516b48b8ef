"""One turn from user text to committed answer, and the tree that the answers grow on.

Knows the engine through its client alone; imports neither torch nor textual.
"""
