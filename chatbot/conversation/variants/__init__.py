"""Several answers to one question: what is asked for, how they come about, where they part."""
