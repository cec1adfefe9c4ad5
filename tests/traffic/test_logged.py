"""Weights that undo a policy's choice, against a truth that the log does not show."""

import json

import numpy as np
import pytest

from difficulty.errors import TrafficError
from difficulty.recipe import LabelSettings
from difficulty.stages.ingest import ingest
from difficulty.traffic.logged import weigh_logged
from difficulty.traffic.table import SCHEMA, Traffic, pa
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
    ingest([source], folder / "rows.parquet", near_duplicates=False, overwrite=True)
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


def with_shadows(fallbacks, *, told=True):
    """Return 40 rows of either route, a quarter of them with shadow calls, and fallbacks that were
    judged.
    """
    both = {"cheap_quality": 1.0, "frontier_quality": 1.0}
    rows = [seen(r, 0.5) | (both if n % 4 == 0 else {}) for r in ROUTES for n in range(40)]
    judged = seen("cheap", 0.5, 0.0) | {"frontier_quality": 1.0}
    return rows + [judged | ({"answered_by": "frontier"} if told else {})] * fallbacks


def test_fallbacks_beside_shadow_calls_are_dropped(tmp_path):
    """The shadow calls, drawn by chance, see no gain at all; the fallbacks see nothing else."""
    traffic, report = weighed(tmp_path, with_shadows(20))
    assert report.fallbacks == 20
    gain = traffic.outcomes.gain
    assert gain[~np.isnan(gain)].tolist() == [0.0] * 20
    assert (traffic.outcomes.cheap_quality[-20:] == 0.0).all()
    # What does not tell its fallbacks cannot be known from shadow calls.
    assert weighed(tmp_path, with_shadows(20, told=False))[1].fallbacks == 0


def test_labels_bought_for_rows_drawn_by_chance_keep_those_of_fallbacks(tmp_path):
    """A quarter of the fallbacks is known as a quarter of all is: nothing chose them."""
    fell_back = {**seen("cheap", 0.5, 0.0), "answered_by": "frontier"}
    rows = with_shadows(5) + [fell_back] * 15
    traffic, report = weighed(tmp_path, rows)
    assert report.fallbacks == 0
    assert np.nansum(traffic.outcomes.gain) == 5.0


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


def audited_log(seed, *, n=2_000, shadow=0.55, propensity=None, certain=False):
    """Return logged traffic of a policy that sends hard requests away, nine times in ten or always,
    and looks at both models on a random share; and the true (cheap failure rate, gain).
    """
    rng = np.random.default_rng(seed)
    hard = rng.random(n)
    cheap_quality = (rng.random(n) > 0.03 + 0.5 * hard).astype(float)
    frontier_quality = (rng.random(n) > 0.05 + 0.1 * hard).astype(float)
    p_cheap = np.where(hard + rng.normal(0.0, 0.2, n) < 0.5, 0.9, 0.1)
    p_cheap = np.round(p_cheap) if certain else p_cheap
    cheap, both = rng.random(n) < p_cheap, rng.random(n) < shadow
    taken = np.where(cheap, p_cheap, 1.0 - p_cheap)
    rows = {
        "id": [str(row) for row in range(n)],
        "messages": [[{"role": "user", "content": str(row)}] for row in range(n)],
        "cheap_quality": pa.array(cheap_quality, mask=~(cheap | both)),
        "frontier_quality": pa.array(frontier_quality, mask=cheap & ~both),
        "route": np.where(cheap, "cheap", "frontier").tolist(),
        "propensity": taken.tolist() if propensity is None else [propensity or None] * n,
        "weight": [1.0] * n,
        "split_group": [str(row) for row in range(n)],
        "near_groups": [[]] * n,
    }
    empty = dict.fromkeys(set(SCHEMA.names) - set(rows), [None] * n)
    table = pa.table({**rows, **empty}).select(SCHEMA.names).cast(SCHEMA)
    truth = 1.0 - cheap_quality.mean(), (frontier_quality - cheap_quality).mean()
    return Traffic(table), truth


def weighted_errors(traffic, truth):
    """Return by how much the weighted failure rate and gain miss the truth."""
    outcomes = weigh_logged(traffic, LabelSettings())[0].outcomes
    return [
        np.average(values[seen], weights=outcomes.weight[seen]) - true
        for values, true in zip((outcomes.cheap_failure, outcomes.gain), truth, strict=True)
        for seen in [~np.isnan(values)]
    ]


@pytest.mark.parametrize(
    ("shadow", "certain"), [(0.1, False), (0.55, False), (0.9, False), (0.3, True)]
)
def test_shadow_calls_leave_no_bias(shadow, certain):
    """Failure rate and gain of 20 logs are the truth within three standard errors; at a shadow
    share of 0.55 the failure rate as logged is 0.025 too low.
    """
    errors = np.array(
        [weighted_errors(*audited_log(seed, shadow=shadow, certain=certain)) for seed in range(20)]
    )
    noise = errors.std(axis=0) / np.sqrt(len(errors))
    assert (np.abs(errors.mean(axis=0)) < 3.0 * noise).all()


def test_rows_on_which_both_were_looked_at_need_no_weight():
    """By hand, shadow share one half, p 0.8 and 0.5: both known with probability one half whatever
    the route was, one alone with half of the propensity.
    """
    rows = [("cheap", 0.8, both) for both in (True, False)] * 2
    rows += [("frontier", 0.5, both) for both in (True, False)] * 2
    table = audited_log(0, n=8)[0]._table
    for name, values in {
        "route": [route for route, _, _ in rows],
        "propensity": [propensity for _, propensity, _ in rows],
        "cheap_quality": [1.0 if both or route == "cheap" else None for route, _, both in rows],
        "frontier_quality": [
            1.0 if both or route == "frontier" else None for route, _, both in rows
        ],
    }.items():
        place = table.schema.get_field_index(name)
        field = table.schema.field(place)
        table = table.set_column(place, field, pa.array(values, type=field.type))
    weight = weigh_logged(Traffic(table), LabelSettings())[0].outcomes.weight
    # Half of all rows know both (factor 1/2 : 1/2), a quarter each one alone (1/4 : 1/2).
    raw = np.array([1, 0.5 / 0.8] * 2 + [1, 0.5 / 0.5] * 2)
    assert weight == pytest.approx(raw / raw.mean())


def test_certain_routes_leave_the_audited_rows_alone():
    traffic, report = weigh_logged(audited_log(0, certain=True)[0], LabelSettings())
    both = ~np.isnan(traffic.outcomes.gain)
    assert report.audited == both.sum() > 1_000
    assert (~np.isnan(traffic.outcomes.cheap_quality) == both).all()
    assert any(f"Only the {both.sum():,} rows count" in note for note in report.notes)


def test_propensities_that_are_not_those_of_the_log_are_refused():
    """One half everywhere, where the policy sent hard requests away."""
    traffic, _ = audited_log(1, propensity=0.5)
    with pytest.raises(TrafficError, match=r"outcomes of the cheap .*differ by more than 4 stand"):
        weigh_logged(traffic, LabelSettings())
    _, report = weigh_logged(traffic, LabelSettings(accept_selection_bias=True))
    assert "cheap" in report.disagreeing
    assert any(note.startswith("SELECTION BIAS ACCEPTED: outcomes of the") for note in report.notes)


def test_fair_logs_are_not_refused():
    for seed in range(30):
        weigh_logged(audited_log(seed, n=1_000, shadow=0.1)[0], LabelSettings())


def test_rates_of_being_seen_that_differ_are_refused_without_propensity():
    """A cheap outcome on every cheap route and on 55 % of the others is selected; on all is not."""
    with pytest.raises(TrafficError, match="outcomes must be seen independently of the route"):
        weigh_logged(audited_log(0, propensity=0.0)[0], LabelSettings())
    assert weigh_logged(audited_log(0, shadow=1.0, propensity=0.0)[0], LabelSettings())[1] is None
