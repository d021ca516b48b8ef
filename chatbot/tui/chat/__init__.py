"""The chat itself: messages, answers, and what stands under them."""
