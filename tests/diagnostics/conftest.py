import numpy as np
import pytest

from difficulty.traffic.outcomes import Outcomes


def outcomes_of(cheap, frontier, weight=None):
    """Return outcomes from qualities."""
    cheap, frontier = np.asarray(cheap, dtype=float), np.asarray(frontier, dtype=float)
    weight = np.ones(len(cheap)) if weight is None else weight
    return Outcomes(
        cheap_quality=cheap,
        frontier_quality=frontier,
        preferred_gain=np.full(len(cheap), np.nan),
        weight=weight,
    )


@pytest.fixture
def many_tasks():
    """Return a function that makes tasks of different difficulty, on each of which the frontier
    model fails half as often.
    """

    def made(n_tasks=20, size=80, *, seed=0):
        rng = np.random.default_rng(seed)
        rate = np.repeat(np.linspace(0.1, 0.8, n_tasks), size)
        tasks = [f"t{number:02d}" for number in range(n_tasks) for _ in range(size)]
        cheap, frontier = (rng.random(len(rate)) >= chance for chance in (rate, 0.5 * rate))
        return tasks, cheap.astype(float), frontier.astype(float)

    return made
