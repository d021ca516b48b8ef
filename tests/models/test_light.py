"""What is known of models is known without the libraries that run them."""

import subprocess
import sys


def test_nothing_heavy_is_imported() -> None:
    modules = "listing, removing, fitting, hardware, hub"
    heavy = "{'torch', 'transformers', 'numpy', 'gguf', 'safetensors', 'huggingface_hub'}"
    code = (
        f"from chatbot.models import {modules}; import sys; listing.list_models(); "
        f"print(({heavy} - {{'huggingface_hub'}}) & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
    modules = "chatbot.models.hub, chatbot.commands.models.flags"
    code = f"import {modules}, sys; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
