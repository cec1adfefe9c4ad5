"""Weights that undo a policy's choice, against a truth that the log does not show."""

import json

import numpy as np
import pytest

from difficulty.errors import TrafficError
from difficulty.recipe import LabelSettings
from difficulty.stages.ingest import ingest
from difficulty.traffic.logged import weigh_logged
from difficulty.traffic.table import Traffic
from tests.logs import complete_rows, logged_rows

ROUTES = ("cheap", "frontier")


def traffic_of(folder, rows):
    """Ingest rows that only differ in what is given."""
    source = folder / "rows.jsonl"
    source.write_text(
        "".join(
            json.dumps({"id": str(n), "prompt": f"r{n}", **row}) + "\n"
            for n, row in enumerate(rows)
        )
    )
    ingest([source], folder / "rows.parquet", near_duplicates=False)
    return Traffic.read(folder / "rows.parquet")


def seen(route, p, value=1.0):
    return {"route": route, "propensity": p, f"{route}_quality": value}


def weighed(folder, rows, **settings):
    return weigh_logged(traffic_of(folder, rows), LabelSettings(**settings))


def test_weights_by_hand(tmp_path):
    """1 / p is 2, 4 and 4 on the cheap route (mean 10/3), 4/3 and 2 on the frontier route; each
    route has a mean of 1.
    """
    rows = [
        seen("cheap", 0.5),
        seen("cheap", 0.25),
        seen("cheap", 0.25),
        seen("frontier", 0.75),
        seen("frontier", 0.5),
    ]
    traffic, report = weighed(tmp_path, rows)
    assert traffic.outcomes.weight == pytest.approx([0.6, 1.2, 1.2, 0.8, 1.2])
    assert traffic.outcomes.per_request * traffic.outcomes.weight == pytest.approx(np.ones(5))
    assert report.known == {"cheap": 3, "frontier": 2}
    assert report.effective == {
        "cheap": pytest.approx(9 / 3.24, abs=0.05),
        "frontier": pytest.approx(4 / 2.08, abs=0.05),
    }


def test_weights_are_clipped_and_multiply_those_of_the_samples(tmp_path):
    """1 / p is 2 and 1000, the latter cut at 8; sample weights 1 and 3 give a mean of (2 + 3 x 8) /
    4.
    """
    traffic, report = weighed(
        tmp_path, [seen("cheap", 0.5), seen("cheap", 0.001) | {"weight": 3}], largest_weight=8
    )
    assert traffic.outcomes.weight == pytest.approx(np.array([2, 24]) / 6.5)
    assert (report.weighted, report.clipped) == (2, 1)


def test_huge_weights_leave_few_effective_samples(tmp_path):
    rows = [seen("cheap", 1.0) for _ in range(99)] + [seen("cheap", 1e-6, 0.0)]
    traffic, report = weighed(tmp_path, rows, largest_weight=1e9)
    assert report.effective["cheap"] == pytest.approx(1.0, abs=0.1)
    assert np.isfinite(traffic.outcomes.weight).all()
    assert report.certain == 99
    assert any("99 rows the route was certain" in note for note in report.notes)


@pytest.mark.parametrize("rows", [complete_rows(), [{"cheap_quality": n % 2} for n in range(9)]])
def test_nothing_is_weighted_where_no_route_decided_what_is_seen(tmp_path, rows):
    """Both outcomes known whatever the route (propensity or not), or no route at all."""
    traffic, report = weighed(tmp_path, rows)
    assert report is None
    assert (traffic.outcomes.weight == 1).all()


def test_rows_without_a_route_keep_their_weight(tmp_path):
    rows = [
        seen("cheap", 0.5),
        seen("cheap", 0.25),
        {"cheap_quality": 1, "frontier_quality": 0, "weight": 5},
    ]
    assert weighed(tmp_path, rows)[0].outcomes.weight == pytest.approx([2 / 3, 4 / 3, 5])


def test_unknown_policy_is_refused_unless_the_bias_is_accepted(tmp_path):
    rows = [seen("cheap", None), seen("frontier", None), seen("cheap", 0.5)]
    with pytest.raises(
        TrafficError,
        match=(
            r"got 2 rows with a route, no propensity, .* --accept-selection-bias, or labels\.accept"
        ),
    ):
        weighed(tmp_path, rows)
    traffic, report = weighed(tmp_path, rows, accept_selection_bias=True)
    assert (traffic.outcomes.weight == 1).all()
    assert (report.unknown_policy, report.weighted) == (2, 1)
    assert any(note.startswith("SELECTION BIAS ACCEPTED: 2 outcomes") for note in report.notes)


def test_always_cheap_is_an_unknown_policy_until_it_says_so(tmp_path):
    """All rows of one route may be all there was, or what an export picked."""
    with pytest.raises(
        TrafficError, match=r"Add propensity \(1 where no other route was possible\)"
    ):
        weighed(tmp_path, [seen("cheap", None)] * 3)
    assert (weighed(tmp_path, [seen("cheap", 1.0)] * 3)[0].outcomes.weight == 1).all()


def test_frontier_outcome_of_a_fallback_is_dropped(tmp_path):
    """It is known because the cheap answer failed; the cheap outcome stays, and a second
    application changes nothing.
    """
    rows = [
        seen("cheap", 0.5, 0.0) | {"frontier_quality": 1.0},
        seen("cheap", 0.5),
        seen("frontier", 0.5),
        seen("cheap", 0.5),
    ]
    traffic, report = weighed(tmp_path, rows)
    assert np.isnan(traffic.outcomes.frontier_quality).tolist() == [True, True, False, True]
    assert np.isnan(traffic.outcomes.gain).all()
    assert traffic.outcomes.cheap_quality[0] == 0.0
    assert report.fallbacks == 1
    traffic.write(tmp_path / "again.parquet")
    again, _ = weigh_logged(Traffic.read(tmp_path / "again.parquet"), LabelSettings())
    assert again.outcomes.weight == pytest.approx(traffic.outcomes.weight)


def test_audited_rows_are_kept(tmp_path):
    """Some rows of either route have both outcomes: nobody looked because of how an answer did, so
    all of them count.
    """
    rows = [seen(route, 0.5) for route in ROUTES for _ in range(8)]
    rows += [seen(route, 0.5) | {"cheap_quality": 0.0, "frontier_quality": 1.0} for route in ROUTES]
    traffic, report = weighed(tmp_path, rows)
    assert report.fallbacks == 0
    assert (~np.isnan(traffic.outcomes.gain)).sum() == 2


@pytest.mark.parametrize("propensity", [0, 1.2, -0.1, "NaN", "often"])
def test_propensity_out_of_range_is_refused(tmp_path, propensity):
    with pytest.raises(
        TrafficError,
        match=r"propensity must be in \(0, 1\] or null: the probability of the route taken",
    ):
        traffic_of(tmp_path, [seen("cheap", 0.5) | {"propensity": propensity}])


def test_propensity_without_a_route_is_refused(tmp_path):
    with pytest.raises(
        TrafficError, match="propensity must stand beside the route that was taken with it"
    ):
        traffic_of(tmp_path, [{"cheap_quality": 1, "propensity": 0.5}])


def test_ingest_warns_of_an_unknown_policy(tmp_path):
    traffic_of(tmp_path, [seen("cheap", None)] * 3)
    warnings = json.loads((tmp_path / "rows.summary.json").read_text())["warnings"]
    assert any(
        warning.startswith("3 rows name a route without its propensity") for warning in warnings
    )


def test_weights_survive_a_selection(tmp_path):
    traffic, _ = weighed(
        tmp_path, [seen("cheap", 0.5), seen("cheap", 0.25), seen("frontier", 0.75)]
    )
    assert traffic.select([1, 0]).outcomes.weight == pytest.approx(traffic.outcomes.weight[[1, 0]])


@pytest.mark.parametrize("model", ROUTES)
def test_weighted_mean_is_the_truth_and_the_plain_one_is_not(tmp_path, model):
    """Twelve logs of the sample: the mean quality seen is off by more than 0.03, weighted it is the
    truth within noise.
    """
    rows = complete_rows(800)
    truth = np.mean([row[f"{model}_quality"] for row in rows])
    plain, weighted = [], []
    for seed in range(12):
        traffic, _ = weighed(tmp_path, logged_rows(rows, seed=seed))
        quality = getattr(traffic.outcomes, f"{model}_quality")
        known = ~np.isnan(quality)
        plain.append(quality[known].mean())
        weighted.append(np.average(quality[known], weights=traffic.outcomes.weight[known]))
    noise = np.std(weighted) / np.sqrt(len(weighted))
    assert abs(np.mean(plain) - truth) > 0.03
    assert np.mean(weighted) == pytest.approx(truth, abs=4 * noise)
    assert noise < 0.01
