"""Whose outcomes are judged: a score is made for a pair of models, and says nothing of others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMix:
    """Whose outcomes are judged, where some are of another model than the scorer was made for."""

    side: str
    """``cheap`` or ``frontier``."""
    own: str
    """The model that the scorer was made for."""
    others: Mapping[str, int]
    """Other models that judged requests name, and how many do."""

    @classmethod
    def of(cls, side: str, own: str | None, named: Mapping[str, int]) -> Self | None:
        """Return the other models; ``None`` where there are none, or the scorer's is not known."""
        others = {name: n for name, n in named.items() if name != own}
        return cls(side=side, own=own, others=others) if own and others else None
