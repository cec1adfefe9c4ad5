"""Traffic of a decision log that keeps no texts: its requests, with the scores that the bundle gave
them when it decided.

Requests that a rule of the policy settled have no score; they stay, as they are a part of every
share. Others without one, such as those that could not be scored, are left out and counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.bundle import Bundle
from difficulty.decisions import read_decisions
from difficulty.errors import TooFewSamplesError, TrafficError
from difficulty.metrics.arrays import FloatArray
from difficulty.runtime.rule import before_scoring
from difficulty.stages.ingest import ingest
from difficulty.text import quantity_text
from difficulty.traffic.outcomes import VALIDATORS
from difficulty.traffic.table import Traffic

_SCORES = ("difficulty_score", "p_cheap_fails", "p_frontier_fails", "familiarity")
_OF_ANSWERS = ("answer_score", "p_answer_fails")
_TEXT = ("id", "task", "group", "route", "reason", "measured_by", "cheap_role", "frontier_role")
_NUMBERS = (
    *("tokens", "propensity", "cheap_passed", "cheap_quality", "frontier_quality"),
    *("cheap_completion_tokens", "frontier_completion_tokens", "cheap_cost_usd"),
    "frontier_cost_usd",
)


class FreshTraffic(NamedTuple):
    """Traffic that is newer than a bundle."""

    traffic: Traffic
    """Where no texts were kept, the request's id stands in place of each."""
    logged: Mapping[str, FloatArray] | None
    """Then what the scorer gave for each, shape (n,), NaN where a rule settled the request;
    ``None``: there are texts to score.
    """
    notes: tuple[str, ...]


def read_logged(source: Path, outcomes: Sequence[Path], bundle: Bundle) -> FreshTraffic:
    """Read what a bundle decided, with late outcomes joined by id.

    Raises
    ------
    MissingExtraError
        If DuckDB is not installed.
    LogError
        If there is no decision event.
    TrafficError
        If the bundle leaves early: its log does not hold the scores of both graphs.
    TooFewSamplesError
        If none of the events is this bundle's.
    """
    if bundle.policy.early is not None:
        raise TrafficError(
            f"a log without texts does not tell all scores of {bundle.label}, which leaves early."
            " Pass traffic with texts."
        )
    with read_decisions([source], outcomes=outcomes, bundle_versions=[bundle.label]) as table:
        columns = table.arrays(
            [*_TEXT, *_NUMBERS, *_SCORES, *_OF_ANSWERS, "preference", "time", "bundle_version"]
        )
        notes = list(table.reading.sentences())
    own = columns["bundle_version"] == bundle.label
    scored = ~np.isnan(columns["difficulty_score"].astype(np.float64))
    by_rule = np.array(
        [
            before_scoring(bundle.policy, task=task, tokens=_whole(tokens)) is not None
            for task, tokens in zip(columns["task"], columns["tokens"], strict=True)
        ],
        dtype=bool,
    )
    # Which model could take a request is not in a log without texts.
    by_rule &= columns["reason"].astype(str) != "ineligible"
    rows = np.flatnonzero(own & (scored | by_rule))
    if not len(rows):
        raise TooFewSamplesError(
            f"a log without texts needs events that {bundle.label} decided: got none of"
            f" {len(own):,}. Pass the bundle that wrote the log."
        )
    notes.append(
        f"the log keeps no texts: the scores are those of the {len(rows):,} decisions of"
        f" {bundle.label}, and whether it was made from some of these requests is not known"
    )
    if left := int((own & ~scored & ~by_rule).sum()):
        notes.append(f"left out: {quantity_text(left, 'decision')} without a score")
    with TemporaryDirectory(prefix="difficulty-") as scratch:
        lines = Path(scratch) / "requests.jsonl"
        with lines.open("w", encoding="ascii") as file:
            file.writelines(json.dumps(_row(columns, row)) + "\n" for row in rows.tolist())
        path = Path(scratch) / "requests.parquet"
        ingest([lines], path, format="native", near_duplicates=False, allow_rejects=True)
        traffic = Traffic.read(path)
    place = {str(columns["id"][row]): row for row in rows.tolist()}
    kept = np.array([place[name] for name in traffic.ids], dtype=np.intp)
    wanted = [name for name in _SCORES if name in bundle.manifest.outputs]
    outputs = {name: columns[name][kept].astype(np.float64) for name in wanted}
    for name in ("p_frontier_fails", "familiarity"):
        # A log that never told it has no such output.
        if name in outputs and np.isnan(outputs[name]).all():
            del outputs[name]
    # A rule's requests may have a score all the same; what is decided stays the rule's.
    answers = {name: columns[name][kept].astype(np.float64) for name in _OF_ANSWERS}
    if not np.isnan(answers["answer_score"]).all():
        outputs |= answers
    return FreshTraffic(traffic, outputs, tuple(notes))


def _row(columns: Mapping[str, NDArray[Any]], row: int) -> dict[str, Any]:
    """Return an event as a row of the traffic contract."""
    number = {name: _known(columns[name][row]) for name in _NUMBERS}
    if columns["frontier_role"][row] == "fallback":
        # Asked because the cheap answer had failed: no word on the gain of other requests.
        number["frontier_quality"] = None
    passed = number["cheap_passed"] if columns["cheap_role"][row] in ("answer", "shadow") else None
    measured = columns["measured_by"][row]
    if measured is None and passed is not None:
        measured = f"{VALIDATORS}:logged"
    return {
        "id": columns["id"][row],
        "prompt": str(columns["id"][row]),
        **{name: columns[name][row] for name in ("task", "group", "route", "preference")},
        "timestamp": f"{columns['time'][row].astype('datetime64[us]')}+00:00",
        "prompt_tokens": _whole(columns["tokens"][row]) or None,
        "cheap_tokens": number["cheap_completion_tokens"],
        "frontier_tokens": number["frontier_completion_tokens"],
        "cheap_passed": None if passed is None else bool(passed),
        "measured_by": measured,
        **{name: number[name] for name in ("cheap_quality", "frontier_quality", "propensity")},
        **{
            f"{side}_cost_usd": number[f"{side}_cost_usd"]
            for side in ("cheap", "frontier")
            if columns[f"{side}_role"][row] in ("answer", "shadow")
        },
    }


def _known(value: Any) -> float | None:
    return None if value is None or np.isnan(value) else float(value)


def _whole(value: Any) -> int:
    return 0 if value is None or np.isnan(value) else int(value)
