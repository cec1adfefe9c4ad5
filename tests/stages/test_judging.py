"""What a bundle does with traffic, worked out from scores, is what its router does."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from difficulty.bundle import read_bundle
from difficulty.errors import TooFewSamplesError
from difficulty.request import Request
from difficulty.runtime.router import Router
from difficulty.stages import judging
from difficulty.stages.ingest import ingest
from difficulty.stages.judging import pick_unseen, serve
from difficulty.tokens import TokenIds
from difficulty.traffic.table import Traffic
from tests.journey import sample_rows, write_rows

EMPTY = "nothing to score"


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Traffic of several tasks: a third of the requests with their own token count, a tenth
    without text to score.
    """
    folder = tmp_path_factory.mktemp("mixed")
    rows = [{**row, "group": None} for row in sample_rows(300)]
    for place, row in enumerate(rows):
        row["prompt_tokens"] = 5 * place if place % 3 == 0 else None
        if place % 10 == 0:
            row["messages"] = [{"role": "user", "content": f"{EMPTY} {place}"}]
    ingest([write_rows(folder / "in.jsonl", rows)], folder / "in.parquet")
    return Traffic.read(folder / "in.parquet")


@pytest.mark.parametrize(
    ("measures", "by_forms"),
    [
        ({}, False),
        ({"judge:large": 300}, False),
        ({"validators:json": 300}, True),
        ({"validators:json": 300, "judge:large": 20}, True),
    ],
)
def test_forms_test_what_was_learned_from_forms(monkeypatch, measures, by_forms):
    """Training leaves them out where there are grades enough: one rule for what it learned from and
    for what tests it.
    """
    figures = SimpleNamespace(measured_by=measures)
    monkeypatch.setattr(judging, "shipped_figures", lambda bundle: figures)
    assert judging.is_by_forms(None) is by_forms


def routes_of(router, traffic):
    """Return 1 where the router sends a request to the frontier model."""
    own = traffic.tokens.prompt
    requests = [
        Request(messages, task, None if np.isnan(tokens) else int(tokens))
        for messages, task, tokens in zip(traffic.messages(), traffic.tasks, own, strict=True)
    ]
    return [decision.route == "frontier" for decision in router.decide_many(requests)]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"easy_tasks": ("classify", "extract"), "max_cheap_tokens": 100},
        {"task_thresholds": {"summarize": 0.2, "chat": 0.9}},
        {"min_familiarity": 0.6},
    ],
    ids=["as shipped", "rules", "thresholds of tasks", "familiarity"],
)
def test_decisions_are_those_of_the_router(journey, mixed, monkeypatch, changes):
    bundle = read_bundle(journey.bundle)
    router = Router.from_bundle(bundle)
    router.policy = replace(bundle.policy, **changes)
    tokenizer = router.scorer.tokenizer
    encode, pack = tokenizer.encode, tokenizer.pack
    # As of a text of which a tokenizer keeps nothing, to the router and to whoever reads many.
    none = TokenIds([], 0)
    monkeypatch.setattr(tokenizer, "encode", lambda text: none if EMPTY in text else encode(text))
    monkeypatch.setattr(tokenizer, "pack", lambda text: (b"", 0) if EMPTY in text else pack(text))
    served = serve(router.scorer, mixed, target=bundle.manifest.target)
    assert 0.8 < served.scores.readable.mean() < 1.0
    assert served.decisions(router.policy).tolist() == routes_of(router, mixed)


def test_nothing_left_to_judge_by_is_refused(journey, monkeypatch):
    bundle, traffic = read_bundle(journey.bundle), Traffic.read(journey.traffic)
    monkeypatch.setattr(Traffic, "splits", lambda self, *_: np.full(len(self), "fit"))
    with pytest.raises(
        TooFewSamplesError, match="judging needs rows that training did not see: all 800 were seen"
    ):
        pick_unseen(bundle, traffic, needs="judging needs rows")
