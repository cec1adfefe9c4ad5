"""Evaluating says when the answers are no longer like those that a check was trained on."""

import numpy as np
import pytest

from difficulty.answers.answer import Answer, Asked
from difficulty.answers.facts import FACTS, read_facts
from difficulty.metrics import Resampling
from difficulty.stages.evaluate import evaluate_scorer
from difficulty.stages.ingest import ingest
from tests.answer_checks import facts_form, write_with_check
from tests.journey import DRAWS, sample_rows, write_rows

N = 600


def answer_of(number, *, style):
    """Return an answer in one of two styles of the same model."""
    if style == "short":
        return f"It is {number % 37}."
    return f"Let me think. First, {number % 37} + 2 = {number % 37 + 2}.\n\n" * 3 + "**Done!**"


def reference(rows):
    """Return ``answer.json`` for the answers of some rows."""
    values = np.array(
        [
            read_facts(Asked.of({"messages": row["messages"]}), Answer(row["cheap_answer"]))
            for row in rows
        ]
    )
    known = np.isfinite(values).mean(axis=0)
    facts = [
        {"name": name, "known": float(share)}
        | (
            {"mean": float(np.nanmean(column)), "sd": float(np.nanstd(column))}
            if share > 0
            else {"mean": None, "sd": None}
        )
        for name, share, column in zip(FACTS, known, values.T, strict=True)
    ]
    return facts_form(facts=facts)


@pytest.mark.parametrize(("style", "is_stale"), [("short", False), ("long", True)])
def test_change_of_style_is_found_without_labels(journey, tmp_path, style, is_stale):
    # Other requests than the bundle was made from, which would be left out.
    rows = [
        row | {"messages": [{"role": "user", "content": f"Case {n}: report on lot {n * 7}."}]}
        for n, row in enumerate(sample_rows(N))
    ]
    trained = [row | {"cheap_answer": answer_of(n, style="short")} for n, row in enumerate(rows)]
    recent = [row | {"cheap_answer": answer_of(n, style=style)} for n, row in enumerate(rows)]
    rule = {"threshold": 0.9, "stale_shift": 0.1}
    write_with_check(journey.bundle, tmp_path / "small-1", rule=rule, facts=reference(trained))
    traffic = tmp_path / "traffic.parquet"
    ingest([write_rows(tmp_path / "recent.jsonl", recent)], traffic)
    judged = evaluate_scorer(
        tmp_path / "small-1", traffic, tmp_path / "out", resampling=Resampling(draws=DRAWS)
    ).evaluation
    found = {finding.name: finding for finding in judged.findings}
    assert ("stale_check" in found) == is_stale
    if is_stale:
        assert "Train on recent answers" in found["stale_check"].message
        assert found["stale_check"].numbers["shift"] > 0.1
