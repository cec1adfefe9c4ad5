"""Peers run from their own packages: each script of ``benchmarks/peers`` in a virtual environment
with the pins beside it.

An environment is made once and again when its pins change. A peer that cannot be installed or fails
is reported with the reason.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

SCRIPTS = Path(__file__).parents[1] / "peers"
PEERS = {
    "llmrouter_lib": [
        "llmrouter_knn",
        "llmrouter_knn100",
        "llmrouter_svm",
        "llmrouter_mlp",
        "llmrouter_mf",
    ],
    "routellm_mf": ["routellm_mf"],
    "model2vec_classifier": ["model2vec"],
    "semantic_router_lib": ["semantic_router", "semantic_router_k100"],
}
"""A script, and the methods it scores."""


class PeerError(RuntimeError):
    """A peer cannot be installed or run; the message is the reason, in a line."""


@dataclass(frozen=True)
class Peer:
    """A script in an environment of its own."""

    name: str
    environments: Path

    @property
    def methods(self) -> list[str]:
        """What the script scores."""
        return PEERS[self.name]

    @property
    def script(self) -> Path:
        """What is run."""
        return SCRIPTS / f"{self.name}.py"

    @property
    def pins(self) -> Path:
        """What is installed."""
        return SCRIPTS / f"{self.name}.txt"

    @property
    def environment(self) -> Path:
        """Where it is installed: another folder for other pins."""
        return self.environments / f"{self.name}-{sha256(self.pins.read_bytes()).hexdigest()[:12]}"

    @property
    def digest(self) -> str:
        """A hash of everything but the problem that decides the scores."""
        parts = (self.script, self.pins, SCRIPTS / "exchange.py")
        return sha256(b"\0".join(path.read_bytes() for path in parts)).hexdigest()

    def run(self, problem: Path, out: Path) -> None:
        """Score a problem folder; the peer's own output goes to ``<out>.log``.

        Raises
        ------
        PeerError
            If the peer cannot be installed, or its script fails.
        """
        python = self._installed()
        environment = os.environ | {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
        environment.pop("PYTHONPATH", None)
        with out.with_suffix(".log").open("w", encoding="utf-8") as log:
            command = [python, self.script, problem, out]
            done = subprocess.run(
                command, stdout=log, stderr=subprocess.STDOUT, env=environment, check=False
            )
        if done.returncode:
            text = out.with_suffix(".log").read_text(encoding="utf-8", errors="replace")
            raise PeerError(f"failed: {_last_line(text)}")

    def _installed(self) -> Path:
        """Return the Python of the environment, made where it is missing."""
        folder = self.environment
        python = folder / "bin" / "python"
        if not (folder / ".ready").exists():
            print(f"{self.name}: installing into {folder}", file=sys.stderr, flush=True)
            venv.create(folder, with_pip=True, clear=True)
            install = [
                python,
                "-m",
                "pip",
                "install",
                "-q",
                "--disable-pip-version-check",
                "-r",
                self.pins,
            ]
            done = subprocess.run(install, capture_output=True, text=True, check=False)
            if done.returncode:
                raise PeerError(f"cannot be installed: {_last_line(done.stderr)}")
            (folder / ".ready").touch()
        return python


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"
