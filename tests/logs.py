"""Simulated logs: the synthetic sample as a policy would have seen it, the truth kept aside."""

import gzip
import json

import numpy as np

from tests.conftest import REPOSITORY

_KEPT = ("messages", "task", "group", "cheap_model", "frontier_model")


def complete_rows(n=1_500):
    """Return requests of the sample whose two qualities are both known."""
    with gzip.open(REPOSITORY / "data" / "sample.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    known = [
        row
        for row in rows
        if row["cheap_quality"] is not None and row["frontier_quality"] is not None
    ]
    return [
        {
            "id": row["id"],
            **{key: row[key] for key in (*_KEPT, "cheap_quality", "frontier_quality")},
        }
        for row in known[:n]
    ]


def logged_rows(rows, *, seed=0, propensity=True):
    """Return the rows as a log: a policy with a hunch of how the cheap model will do chose the
    route, and only that outcome is known.

    The hunch is right in three of four cases and stands in no column, so the text does not explain
    the choice. The cheap route is taken with probability 0.9 where it is good, else 0.15.
    """
    rng = np.random.default_rng(seed)
    logged = []
    for row in rows:
        hunch = (row["cheap_quality"] >= 0.5) == (rng.random() < 0.75)
        p_cheap = 0.9 if hunch else 0.15
        cheap = rng.random() < p_cheap
        route, other = ("cheap", "frontier") if cheap else ("frontier", "cheap")
        chosen = {
            "route": route,
            "propensity": (p_cheap if cheap else 1 - p_cheap) if propensity else None,
        }
        logged.append(
            {key: value for key, value in row.items() if key != f"{other}_quality"} | chosen
        )
    return logged
