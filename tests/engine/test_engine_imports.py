"""The engine's front door opens before torch is there."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["protocol", "client", "inbox", "__main__"])
def test_no_torch_before_the_server(module: str) -> None:
    heavy = "{'torch', 'transformers', 'numpy', 'gguf'}"
    code = f"import chatbot.engine.{module}, sys; print({heavy} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "set()\n", result.stderr
