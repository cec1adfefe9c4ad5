"""Small logs of decisions, quiet or changed, for the tests of alarms."""

import numpy as np

DAY = np.datetime64("2026-01-05")
TASKS = np.array(["classify", "extract", "code"], dtype=object)


def log(*, days, volume=40, seed=0, at=None, **changes):
    """Return decisions of some days; changes apply from day ``at`` on: ``hard`` (added to the
    logit of the hard task), ``refused`` (share of cheap answers), ``fails`` (added to the failure
    rate), ``frontier`` (share of requests), ``model`` (name of the cheap model), ``price``
    (factor).
    """
    rng = np.random.default_rng(seed)
    day = np.repeat(np.arange(days), volume)
    n = len(day)
    after = day >= at if at is not None else np.zeros(n, dtype=bool)

    def value(name, usual):
        return np.where(after, changes.get(name, usual), usual)

    group = rng.integers(0, n // 2 + 1, n)
    share = 1.0 / (1.0 + np.exp(1.4 - value("hard", 0.0)))
    task = np.where(rng.random(n) < share, 2, rng.integers(0, 2, n))
    stated = np.clip(rng.normal(0.2 + 0.2 * (task == 2), 0.05, n), 0.0, 1.0)
    frontier = rng.random(n) < value("frontier", 0.3)
    fails = rng.random(n) < stated + value("fails", 0.0)
    labelled = rng.random(n) < 0.5
    refused = rng.random(n) < value("refused", 0.1)
    cost = np.where(frontier, 0.01, 0.001 * value("price", 1.0))
    return {
        "day": DAY + day,
        "group": group,
        "route": np.where(frontier, "frontier", "cheap").astype(object),
        "policy_route": np.where(frontier, "frontier", "cheap").astype(object),
        "propensity": np.ones(n),
        "difficulty_score": np.clip(stated + rng.normal(0.0, 0.1, n), 0.0, 1.0),
        "p_cheap_fails": stated,
        "p_frontier_fails": stated / 2.0,
        "task": TASKS[task],
        "tokens": np.round(np.exp(rng.normal(5.0, 1.0, n))),
        "cheap_model": np.where(frontier, None, value("model", "small-1")),
        "frontier_model": np.where(frontier, "large-1", None),
        "cheap_passed": np.where(frontier, np.nan, 1.0 - refused),
        "failed_validator": np.where(refused & ~frontier, "json", None),
        "cost_usd": cost,
        "cheap_cost_usd": np.where(frontier, np.nan, cost),
        "frontier_cost_usd": np.where(frontier, cost, np.nan),
        "cheap_quality": np.where(labelled & ~frontier, 1.0 - fails, np.nan),
        "frontier_quality": np.where(labelled & frontier, rng.random(n) > stated / 2.0, np.nan),
        "measured_by": np.where(labelled, "exact", None),
    }
