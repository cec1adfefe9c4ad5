"""What the figures rest on: what is missing, and what was assumed in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from difficulty.economics.drawn import estimate, interval
from difficulty.economics.sections import TrafficShape
from difficulty.metrics.arrays import FloatArray
from difficulty.records import Estimate
from difficulty.traffic.table import Tokens


class Figure(NamedTuple):
    """A figure before it is told: its draws, and what it needs."""

    drawn: FloatArray
    n: int
    needs: tuple[str, ...] = ()
    """Names that may be missing or assumed."""
    never: str = ""
    """What an infinite value means."""


@dataclass(frozen=True, slots=True)
class Basis:
    """What is missing and what was assumed, each by a name and with a sentence."""

    assumed: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

    def with_(
        self, *, assumed: Mapping[str, str] | None = None, missing: Mapping[str, str] | None = None
    ) -> Basis:
        """Return the basis with more of either."""
        return Basis({**self.assumed, **(assumed or {})}, {**self.missing, **(missing or {})})

    def estimate(self, figure: Figure) -> Estimate:
        """Return a figure as an estimate whose note says what was assumed for it or, where it is
        unknown, what is missing.
        """
        value = float(figure.drawn[0])
        if np.isnan(value):
            wanted = [name for name in figure.needs if name in self.missing]
            return Estimate(
                value=None,
                n=figure.n,
                note=f"unknown, as this is missing: {', '.join(wanted) or 'outcomes'}",
            )
        notes = [figure.never] if np.isinf(value) else []
        if not notes and np.isinf(interval(figure.drawn)[1]):
            notes.append(f"no upper end: in some draws {figure.never}")
        assumed = [name for name in figure.needs if name in self.assumed]
        notes += [f"assumed: {', '.join(assumed)}"] if assumed else []
        return estimate(figure.drawn, n=figure.n, note="; ".join(notes))

    def estimates(self, figures: Mapping[str, Figure]) -> dict[str, Estimate]:
        """Return all figures as estimates."""
        return {name: self.estimate(figure) for name, figure in figures.items()}


class Counted(NamedTuple):
    """Prompt tokens as somebody else counts them, for requests without a count of their own."""

    tokens: FloatArray
    how: str
    """Ends the sentence "... are counted"."""


def fill_tokens(tokens: Tokens, counted: Counted, given: TrafficShape) -> tuple[Tokens, Basis]:
    """Return token counts with assumptions where there are none.

    Prompts without a count take ``counted``. Answers of a model that has none at all take the price
    list's number, else the other model's answers. Where some answers are counted, those stand for
    the others.
    """
    prompt, basis = _prompts(tokens.prompt, counted, given)
    answers: dict[str, FloatArray] = {}
    for model, other in (("cheap", "frontier"), ("frontier", "cheap")):
        name, own, others = f"{model}_tokens", getattr(tokens, model), getattr(tokens, other)
        listed = getattr(given, name)
        answers[model] = own
        if _any(own):
            continue
        if listed is not None:
            answers[model] = np.full(len(own), listed)
            basis = basis.with_(
                assumed={
                    name: (
                        f"an answer of the {model} model has {listed:g} tokens, as the price list"
                        " says"
                    )
                }
            )
        elif _any(others):
            answers[model] = others
            basis = basis.with_(
                assumed={name: f"the {model} model's answers are as long as the {other} model's"}
            )
        else:
            basis = basis.with_(
                missing={
                    name: (
                        f"answer tokens of the {model} model: in the traffic, or in [traffic] of"
                        " the price list"
                    )
                }
            )
    return Tokens(prompt, answers["cheap"], answers["frontier"]), basis


def _prompts(own: FloatArray, counted: Counted, given: TrafficShape) -> tuple[FloatArray, Basis]:
    unknown = np.isnan(own)
    if not unknown.any():
        return own, Basis()
    if unknown.all() and given.prompt_tokens is not None:
        sentence = f"a request has {given.prompt_tokens:g} tokens, as the price list says"
        return np.full(len(own), given.prompt_tokens), Basis({"prompt_tokens": sentence})
    sentence = f"tokens of {unknown.mean():.0%} of the requests are counted {counted.how}"
    return np.where(unknown, counted.tokens, own), Basis({"prompt_tokens": sentence})


def _any(counts: FloatArray) -> bool:
    return not bool(np.isnan(counts).all())
