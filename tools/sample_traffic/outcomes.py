"""Who answers a request well: a latent difficulty, and two fictitious models that cope with it
differently.

Every constant is a choice, made so that the traffic tells the story that routers are built for and
behaves like published router data otherwise: the cheap model handles what is routine, plans are
beyond it, and the rest is about as learnable as there, with many failures shared by both.
``data/README.md`` repeats them. They measure no real model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tools.sample_traffic.answers import draw_answer
from tools.sample_traffic.request import Request, Traits

HIDDEN_SD = 0.18
"""Standard deviation of the part of the difficulty that nothing in the text shows; both models feel
the same.
"""
CHEAP = (5.1, 7.5)
"""(a, b) of P(cheap answer is right) = sigmoid(a - b * difficulty)."""
FRONTIER = (4.6, 3.3)
"""(c, d) of P(frontier answer is right) = sigmoid(c - d * difficulty)."""

_BASE = {
    "classify": 0.18,
    "extract": 0.20,
    "summarize": 0.20,
    "question answering": 0.05,
    "code": 0.16,
    "multi-step planning": 0.46,
}
_PART = {"classify": 0.2, "extract": 0.2, "summarize": 0.2, "multi-step planning": 0.8}
"""How much of what else is asked for counts: little where the work is routine, half where a plan is
hard as it stands, all elsewhere.
"""
_PER_STEP, _PER_CALCULATION, _PER_CONDITION = 0.05, 0.36, 0.32
_RARE, _FOREIGN = 0.50, 0.16
_PER_DOUBLED_LENGTH, _PER_CODE_LINE = 0.02, 0.004
_PER_DOUBLED_SUMMARY = 0.16
"""In place of ``_PER_DOUBLED_LENGTH``: a long document is lost sight of."""
_MOST_STEPS, _MOST_CODE_LINES, _USUAL_WORDS = 6, 60, 100
_USUAL_SUMMARY = 200
IMPOSSIBLE_RIGHT = 0.3
"""Either model's chance with an impossible request, as a share of that without the flaw: it asks
back, or says what is missing.
"""

_MEDIAN_TOKENS = {
    "classify": 8,
    "extract": 80,
    "summarize": 120,
    "question answering": 110,
    "code": 220,
    "multi-step planning": 340,
}
_FRONTIER_LENGTH = 1.25
_TOKENS_SD = 0.45
_GRADES = 4
_VALIDATED_SHARE, _VALIDATION_ERROR = 0.5, 0.04
_VALIDATED_TASKS = ("classify", "extract", "code")
_FRONTIER_UNKNOWN, _CHEAP_UNKNOWN, _ONLY_VALIDATION = 0.06, 0.03, 0.015


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is known of both models on one request; ``None`` is unknown."""

    cheap_quality: float | None
    frontier_quality: float | None
    cheap_passed: bool | None
    cheap_tokens: int
    frontier_tokens: int
    cheap_answer: str | None


def visible_difficulty(traits: Traits) -> float:
    """Return the part of the difficulty that the text shows, 0.08 (trivial) to 1 (very hard)."""
    load = traits.load
    asked = (
        _PER_STEP * min(load.steps, _MOST_STEPS)
        + _PER_CALCULATION * load.arithmetic
        + _PER_CONDITION * load.logic
        + _RARE * traits.rare
        + _FOREIGN * traits.foreign
    )
    return (
        _BASE[traits.task]
        + _PART.get(traits.task, 1.0) * asked
        + _length(traits)
        + _PER_CODE_LINE * min(traits.code_lines, _MOST_CODE_LINES)
    )


def _length(traits: Traits) -> float:
    """Return what the length adds, by how often it is twice what is usual."""
    summary = traits.task == "summarize"
    usual = _USUAL_SUMMARY if summary else _USUAL_WORDS
    each = _PER_DOUBLED_SUMMARY if summary else _PER_DOUBLED_LENGTH
    return each * max(0.0, math.log2(max(traits.n_words, 1) / usual))


def chance_right(difficulty: float, model: tuple[float, float]) -> float:
    """Return the probability that ``model`` (its intercept and slope) answers well what can be
    answered.
    """
    intercept, slope = model
    return 1.0 / (1.0 + math.exp(slope * difficulty - intercept))


def draw_outcome(
    request: Request, rng: np.random.Generator, answering: np.random.Generator
) -> Outcome:
    """Return one draw of both models' outcomes, some of them left unknown.

    Parameters
    ----------
    request : Request
        Its traits and hidden difficulty decide the chances.
    rng, answering : numpy.random.Generator
        Sources of chance: of the outcomes, and of what the cheap model answers.
    """
    task = request.traits.task
    difficulty = visible_difficulty(request.traits) + request.hidden
    possible = IMPOSSIBLE_RIGHT if request.traits.impossible else 1.0
    cheap = _quality(possible * chance_right(difficulty, CHEAP), task, rng)
    frontier = _quality(possible * chance_right(difficulty, FRONTIER), task, rng)
    passed = _validation(cheap, rng)
    reported_cheap, reported_frontier, reported_passed = _reported(
        cheap, frontier, passed, task, rng
    )
    cheap_tokens, frontier_tokens = _tokens(task, rng)
    return Outcome(
        cheap_quality=reported_cheap,
        frontier_quality=reported_frontier,
        cheap_passed=reported_passed,
        cheap_tokens=cheap_tokens,
        frontier_tokens=frontier_tokens,
        cheap_answer=draw_answer(request, cheap, answering),
    )


def _quality(right: float, task: str, rng: np.random.Generator) -> float:
    """Return 0 or 1; summaries get one of five grades."""
    trials = _GRADES if task == "summarize" else 1
    return sum(bool(rng.random() < right) for _ in range(trials)) / trials


def _validation(quality: float, rng: np.random.Generator) -> bool:
    """Return what an imperfect production check says of the cheap answer."""
    return (quality >= 0.5) != bool(rng.random() < _VALIDATION_ERROR)


def _reported(
    cheap: float, frontier: float, passed: bool, task: str, rng: np.random.Generator
) -> tuple[float | None, float | None, bool | None]:
    """Return the outcomes as traffic reports them: some unknown, but always one at least."""
    validated = bool(rng.random() < _VALIDATED_SHARE) and task in _VALIDATED_TASKS
    fate = rng.random()
    if fate < _ONLY_VALIDATION:
        return None, None, passed
    reported_passed = passed if validated else None
    if fate < _ONLY_VALIDATION + _CHEAP_UNKNOWN:
        return None, frontier, reported_passed
    return (
        cheap,
        None if fate < _ONLY_VALIDATION + _CHEAP_UNKNOWN + _FRONTIER_UNKNOWN else frontier,
        reported_passed,
    )


def _tokens(task: str, rng: np.random.Generator) -> tuple[int, int]:
    """Return the lengths of both answers, log-normal, related, the frontier's somewhat longer."""
    shared, own_cheap, own_frontier = (
        float(value) for value in rng.normal(0.0, _TOKENS_SD, size=3)
    )
    cheap = _MEDIAN_TOKENS[task] * math.exp(0.8 * shared + 0.6 * own_cheap)
    frontier = _MEDIAN_TOKENS[task] * _FRONTIER_LENGTH * math.exp(0.8 * shared + 0.6 * own_frontier)
    return max(1, round(cheap)), max(1, round(frontier))
