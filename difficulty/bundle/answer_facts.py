"""``answer.json``: what the facts about answers were in the training traffic, so that a router sees
when they move, and can say which of them moved a score. It holds none of the texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from difficulty.errors import FieldError
from difficulty.form import SavedForm, Share, at_least, non_empty


@dataclass(frozen=True, kw_only=True)
class FactSummary(SavedForm):
    """One fact over the training answers."""

    name: Annotated[str, non_empty]
    mean: float | None = None
    """Where it is known; ``None``: it never was."""
    sd: Annotated[float, at_least(0)] | None = None
    known: Share
    """Share of the answers of which it is known."""
    low: float | None = None
    """One answer in a hundred lies below."""
    high: float | None = None
    """One answer in a hundred lies above."""
    weight: float = 0.0
    """Change of the score's logit with one deviation of the fact, by a linear model beside the
    graph: only to say what moved a score.
    """


@dataclass(frozen=True, kw_only=True)
class FactBand(SavedForm):
    """The facts over the training answers to requests of which the scorer says the like."""

    up_to: Share | None = None
    """Largest ``p_cheap_fails`` of these requests; ``None``: the last band."""
    n: Annotated[int, at_least(1)]
    mean: tuple[float | None, ...]
    """Of each fact, in their order; ``None``: it was never known."""
    known: tuple[Share, ...]


@dataclass(frozen=True, kw_only=True)
class AnswerFacts(SavedForm):
    """The facts that ``answer.onnx`` reads, in its order."""

    facts_version: Annotated[int, at_least(1)]
    """Of the definitions in ``docs/answers.md``."""
    facts: tuple[FactSummary, ...]
    n: Annotated[int, at_least(0)] = 0
    """Training answers that they were counted on."""
    bands: tuple[FactBand, ...] = ()
    """By what the scorer says of the requests, ascending; none: they were too few, or the bundle is
    of an earlier version.
    """
    stale_shift: Share | None = None
    """Shift past which the check was found not to hold, where that is known; what counts is the
    policy's.
    """
    score_tolerance: Annotated[float, at_least(0)] = 1e-4
    """How far another runtime's scores may be from ``golden_answers.jsonl``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [fact.name for fact in self.facts]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise FieldError(f"must name each fact once: got {twice!r} twice", where=("facts",))
        self._check_bands(len(names))

    def _check_bands(self, n_facts: int) -> None:
        for band in self.bands:
            if (len(band.mean), len(band.known)) != (n_facts, n_facts):
                rule = f"must hold {n_facts} means and shares each"
                raise FieldError(f"{rule}: got {len(band.mean)}", where=("bands",))
        edges = [band.up_to for band in self.bands]
        inner = [edge for edge in edges[:-1] if edge is not None]
        is_ascending = all(one < other for one, other in pairwise(inner))
        if edges and (edges[-1] is not None or len(inner) < len(edges) - 1 or not is_ascending):
            raise FieldError("must ascend by up_to, the last without one", where=("bands",))
