from dataclasses import asdict, replace

import numpy as np
import pytest

from benchmarks.lib.shares import Share
from benchmarks.task_test import N_SAMPLES, SCENARIOS, Scenario, as_markdown, simulated

SOUND = Scenario(n_tasks=12, scatter=0.4, heavy=False, broken=False)


def test_share_has_the_exact_interval():
    """The rule of three: nothing seen in n leaves 1 - 0.025 ** (1 / n) open."""
    share = Share.of(0, 20)
    assert (share.value, share.low, share.high) == pytest.approx((0.0, 0.0, 1 - 0.025 ** (1 / 20)))
    assert str(Share.of(1, 2)) == "50.0% [1.3%, 98.7%]"


def test_broken_task_fails_on_the_frontier_model_alone():
    """The rest of the set stays as it would be drawn without it."""
    (tasks, sound), (_, broken) = (
        replace(SOUND, broken=wrong).drawn(np.random.default_rng(3)) for wrong in (False, True)
    )
    first = np.array(tasks) == "task 0"
    assert first.sum() == N_SAMPLES
    assert broken.frontier_failure[first].mean() > 0.85
    np.testing.assert_array_equal(broken.cheap_failure, sound.cheap_failure)
    np.testing.assert_array_equal(broken.frontier_failure[~first], sound.frontier_failure[~first])


def test_broken_task_is_found_more_often_than_a_sound_one_is_named():
    sound, broken = (simulated(replace(SOUND, broken=wrong), n_sets=12) for wrong in (False, True))
    assert sound.found.count == 0
    assert sound.false_alarm.count <= 2
    assert broken.found.count >= 6


def test_page_pairs_sets_without_and_with_a_broken_task():
    found = [asdict(simulated(scenario, n_sets=1)) for scenario in SCENARIOS]
    page = as_markdown(
        {"date": "2026-11-27", "command": "x", "n_samples": N_SAMPLES, "found": found}
    )
    assert page.count("| normal |") + page.count("| heavy |") == len(SCENARIOS) // 2
