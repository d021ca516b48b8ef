"""Our own step on a CPU: models of Llama's build, and the layers of all others."""
