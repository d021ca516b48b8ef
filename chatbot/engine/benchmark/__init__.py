"""``chatbot bench speed``: how fast the engine is here, beside what it could be."""
