"""``chatbot models``: which there are, what they need, and how they get here and away."""
