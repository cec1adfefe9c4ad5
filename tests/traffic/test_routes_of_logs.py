"""The model that a log called is the route of its request, with an unknown propensity: what learns
from it says so.
"""

import json

import numpy as np
import pytest

from difficulty.economics import request_costs
from difficulty.errors import TrafficError
from difficulty.recipe import LabelSettings
from difficulty.records import Prices
from difficulty.stages.ingest import ingest
from difficulty.stages.labelling.late_outcomes import join_outcomes
from difficulty.traffic.logged import weigh_logged
from difficulty.traffic.reading.dialect import ReadOptions
from difficulty.traffic.reading.mapping import PivotSection, TableMapping
from difficulty.traffic.reading.named_pair import ModelPair
from difficulty.traffic.table import Traffic
from tests.journey import write_rows

PAIR = ReadOptions(pair=ModelPair(cheap=("small*",), frontier=("big*",)))


def spent(number, model, *, feedback=None, **more):
    return {
        "request_id": f"r-{number}",
        "call_type": "acompletion",
        "spend": 0.01,
        "model": model,
        "startTime": "2026-05-01T10:00:00Z",
        "messages": [{"role": "user", "content": f"What is rust, seen from side {number}?"}],
        "metadata": {"user_feedback": feedback},
        **more,
    }


def ingested(tmp_path, rows, *, options=PAIR, mapping=None):
    source, out = write_rows(tmp_path / "log.jsonl", rows), tmp_path / "log.parquet"
    summary = ingest([source], out, options=options, mapping=mapping, near_duplicates=False)
    return Traffic.read(out), summary


def test_the_model_that_answered_is_the_route(tmp_path):
    models = ["small-1", "big-1", "third", "small-2"]
    traffic, summary = ingested(
        tmp_path, [spent(n, model, feedback="up") for n, model in enumerate(models)]
    )
    assert traffic.column("route") == ["cheap", "frontier", "cheap"]
    assert np.isnan(np.array(traffic.column("propensity"), dtype=float)).all()
    assert any("3 rows name a route without its propensity" in said for said in summary.warnings)


def test_where_one_model_alone_was_called_nothing_was_chosen(tmp_path):
    """Also where it was renamed; the other one, which is named and absent, is told."""
    rows = [spent(n, "big-1" if n < 3 else "big-2", feedback="up") for n in range(6)]
    traffic, summary = ingested(tmp_path, rows)
    assert traffic.column("route") == [None] * 6
    told = "no row is of the cheap model 'small*': that is right where it was never called"
    assert any(said.startswith(told) for said in summary.warnings)
    assert weigh_logged(traffic, LabelSettings()) == (traffic, None)


def test_feedback_of_a_log_trains_nobody_unasked(tmp_path):
    """200 calls: users thumb the model that was called, which a router chose."""
    rows = [spent(n, "small-1" if n % 3 else "big-1", feedback=n % 5 > 0) for n in range(200)]
    traffic, _ = ingested(tmp_path, rows)
    with pytest.raises(TrafficError, match="got 200 rows with a route, no propensity"):
        weigh_logged(traffic, LabelSettings())
    _, report = weigh_logged(traffic, LabelSettings(accept_selection_bias=True))
    assert report.unknown_policy == 200
    assert report.notes[-1].startswith("SELECTION BIAS ACCEPTED: 200 outcomes")


def test_requests_that_both_models_were_judged_on_are_as_good_as_any(tmp_path):
    """A log without feedback, of which some requests were labelled on both models later."""
    ingested(tmp_path, [spent(n, "small-1" if n % 3 else "big-1") for n in range(30)])
    rows = [
        {"id": f"r-{n}", "side": side, "quality": 1.0}
        for n in range(10)
        for side in ("cheap", "frontier")
    ]
    feedback, out = write_rows(tmp_path / "judged.jsonl", rows), tmp_path / "labelled.parquet"
    join_outcomes(tmp_path / "log.parquet", [feedback], out)
    labelled = Traffic.read(out)
    assert labelled.column("route").count("cheap") == 20
    assert (~np.isnan(labelled.outcomes.gain)).sum() == 10
    assert weigh_logged(labelled, LabelSettings())[1] is None


def call(number, model, quality):
    return {"trace": f"t-{number}", "text": f"What is {number}?", "m": model, "q": quality}


def test_a_pivot_of_single_calls_is_a_log_and_one_of_pairs_is_not(tmp_path):
    section = PivotSection(request="trace", model="m", quality="q")
    mapping = TableMapping(columns={"prompt": ("text",)}, pivot=section)
    alone = [call(n, "small-1" if n % 2 else "big-1", 1) for n in range(10)]
    traffic, _ = ingested(tmp_path, alone, mapping=mapping)
    assert traffic.column("route") == ["frontier", "cheap"] * 5
    pairs = [call(n, model, 1) for n in range(10) for model in ("small-1", "big-1")][:-1]
    other = tmp_path / "pairs"
    other.mkdir()
    assert ingested(other, pairs, mapping=mapping)[0].column("route") == [None] * 10


def test_a_first_row_that_cannot_be_read_does_not_make_a_log_a_table(tmp_path):
    path = tmp_path / "log.jsonl"
    rows = [spent(n, "small-1" if n % 2 else "big-1") for n in range(9)]
    path.write_text("no JSON\n" + "".join(json.dumps(row) + "\n" for row in rows))
    summary = ingest([path], tmp_path / "log.parquet", options=PAIR)
    assert (summary.formats, summary.kept) == ({"litellm": 1}, 9)
    assert summary.rejected == {"a line must be one JSON object": 1}


USAGE = {
    "prompt_tokens": 16_111,
    "completion_tokens": 2,
    "prompt_tokens_details": {"cached_tokens": 15_872},
}
PRICES = Prices(
    date="2026-01-01", cheap_input=0.1, cheap_output=0.2,
    frontier_input=5.0, frontier_output=15.0, frontier_cached_input=0.5,
)  # fmt: skip


@pytest.mark.parametrize("billed", [True, False])
def test_cached_traffic_costs_what_was_billed(tmp_path, billed):
    """239 new tokens at 5 USD a million, 15,872 kept ones at 0.50, two written at 15: 0.009161 USD,
    by the log's bill or by its counts; the call that the gateway answered from its own cache cost
    nothing.
    """
    usage = {"metadata": {"usage_object": USAGE}, "prompt_tokens": 16_111, "completion_tokens": 2}
    usage |= {"response": {"choices": [{"message": {"role": "assistant", "content": "No"}}]}}
    rows = [
        spent(0, "big-1", **usage | {"spend": 0.009161 if billed else 0.0}),
        spent(1, "big-1", cache_hit="True", **usage | {"spend": 0.0}),
        spent(2, "small-1"),
    ]
    traffic, summary = ingested(tmp_path, rows)
    _, frontier = request_costs(traffic.tokens, PRICES, traffic.bill)
    assert frontier[:2] == pytest.approx([0.009161, 0.0], rel=0.001)
    if billed:
        assert summary.billed_usd["frontier_cost_usd"] == pytest.approx(0.009161)
