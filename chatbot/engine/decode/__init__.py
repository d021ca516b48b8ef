"""The step from tokens to logits: our own for the shape of Llama, else that of transformers."""
