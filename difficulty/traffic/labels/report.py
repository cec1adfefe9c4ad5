"""What a label source found, for the summary of an ingest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """Counts and rates of one source; unknown ones are ``None``."""

    source: str
    found: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def known(value: float, digits: int = 4) -> float | None:
    """Return a number for a report; ``None`` for NaN, which JSON has no word for."""
    return None if math.isnan(value) else round(value, digits)
