"""An evaluation with everything in it, one with as little as there can be, and hostile names."""

import dataclasses
import re

import numpy as np
import pytest

from difficulty.evaluation import evaluate
from difficulty.evaluation.slices import worst_mistakes
from difficulty.metrics import Resampling
from difficulty.records import Estimate
from difficulty.report.blocks import ChosenThreshold, Extras, Suspects
from tests.evaluation.conftest import four, many, scored_of

__all__ = ["HOSTILE", "PAPER", "four", "judge", "many", "many_judged", "printed"]

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&{{7*7}}|`<b>*[x](http://evil.example)"


def judge(judged, n_draws=40):
    return evaluate(judged, Resampling(n_draws))


def many_judged(n=800):
    """Requests whose score knows something, with costs and a task of a hostile name."""
    rng = np.random.default_rng(7)
    hard = rng.normal(size=n)
    chance = 1 / (1 + np.exp(hard - 0.5))
    return scored_of(
        1 / (1 + np.exp(-hard + rng.normal(0, 0.7, n))),
        (rng.random(n) < chance).astype(float),
        (rng.random(n) < 0.95).astype(float),
        p_cheap_fails=1 - chance,
        p_frontier_fails=np.clip(0.05 + 0.02 * rng.normal(size=n), 0, 1),
        tasks=np.where(hard > 0, "code", HOSTILE).tolist(),
        n_tokens=rng.integers(10, 2000, n),
        cheap_cost=np.full(n, 0.0002),
        frontier_cost=np.full(n, 0.004),
        threshold=0.6,
    )


@pytest.fixture(scope="session")
def judged_requests():
    return many_judged()


@pytest.fixture(scope="session")
def evaluation(judged_requests):
    """Everything known."""
    found = judge(judged_requests)
    return dataclasses.replace(
        found, lineage={"name": "small-1", "training_data": HOSTILE, "libraries": {"numpy": "2"}}
    )


@pytest.fixture(scope="session")
def extras(judged_requests):
    """Everything told, in hostile words."""
    mistakes = worst_mistakes(
        judged_requests, [f"{HOSTILE}{number}" for number in range(len(judged_requests))]
    )
    kept = tuple(
        dataclasses.replace(mistake, text=f"SECRET {HOSTILE} {'long ' * 200}")
        for mistake in mistakes.kept
    )
    return Extras(
        scorer=HOSTILE,
        kind="bundle",
        traffic=HOSTILE,
        places={"TRAFFIC": HOSTILE, "BUNDLE": "bundles/small-1"},
        note="All of it is judged.",
        cheap_model=HOSTILE,
        frontier_model="frontier",
        chosen=ChosenThreshold(
            objective="share=0.3",
            expected={"quality": Estimate(value=0.7)},
            n=500,
            review_date="2027-01-01",
            rules=(HOSTILE,),
        ),
        mistakes=dataclasses.replace(mistakes, kept=kept),
        texts_shown=True,
        suspects=Suspects(
            by_task={HOSTILE: {"task": 3, "row": 1}}, reasons=(HOSTILE,), checked=800
        ),
        made_on="2026-11-25",
    )


PAPER = 718
"""Dots of an A4 page within its margins, at 96 an inch."""


def printed(page):
    """Return how many pages a page takes on paper, and what is wider than the paper."""
    pages = len(re.findall(rb"/Type\s*/Page\b(?!s)", page.pdf(format="A4", print_background=True)))
    page.emulate_media(media="print")
    wide = page.evaluate(
        """[...document.querySelectorAll("table, .plot, section > *")]
            .map((one) => [one.outerHTML.slice(0, 80), one.getBoundingClientRect()])
            .filter(([, box]) => box.width > 0 && box.right > innerWidth + 1)
            .map(([text]) => text)"""
    )
    return pages, wide
