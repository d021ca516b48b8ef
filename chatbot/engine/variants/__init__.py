"""Several answers to one prompt: drawn side by side, or found by beam search, in one batch."""
