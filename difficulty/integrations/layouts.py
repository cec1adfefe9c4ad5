"""Serving layouts: a bundle as the folder that another serving system expects. A file each, and a
line in ``LAYOUTS``.

Other packages add layouts through entry points of the group ``difficulty.layouts``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from difficulty.bundle import Bundle

LAYOUTS = {
    "container": "difficulty.integrations.container:CONTAINER",
    "mlflow": "difficulty.integrations.mlflow_model:MLFLOW_MODEL",
    "triton": "difficulty.integrations.triton:TRITON_REPOSITORY",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One way to lay a bundle out."""

    write: Callable[[Bundle, Path], None]
    """Writes a checked bundle into an empty folder."""
    next_step: str
    """Command that serves it; ``{folder}`` stands for the folder."""
