from dataclasses import asdict

import numpy as np

from benchmarks.lib.trained import changed
from benchmarks.turned_tasks import as_markdown, measure


def test_tenth_of_a_task_is_not_found_and_all_of_it_is(journey):
    """Twelve tasks of the sample, dealt by chance, so that none is another from the start."""
    from difficulty.traffic.table import Traffic

    traffic = Traffic.read(journey.traffic)
    rng = np.random.default_rng(0)
    quality = np.clip(rng.normal(0.5, 0.4, (2, len(traffic))).round(), 0.0, 1.0)
    quality[1] = np.maximum(quality[1], rng.random(len(traffic)) < 0.8)
    traffic = changed(
        traffic,
        task=[f"task {row % 12}" for row in range(len(traffic))],
        cheap_quality=quality[0],
        frontier_quality=quality[1],
    )
    tenth, whole = (measure(traffic, "frontier", share) for share in (0.1, 1.0))
    counts = [named.by_size["under 150 samples"].count for named in (tenth, whole)]
    assert counts[0] == 0
    assert counts[1] >= 10
    page = as_markdown(
        {"date": "2026-11-28", "command": "x", "named": [asdict(tenth), asdict(whole)]}
    )
    assert "| 10% of the frontier labels | 0 of 12: " in page
