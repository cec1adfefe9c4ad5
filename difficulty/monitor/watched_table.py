"""The view ``watched``: the events of a log with what figures are made of, in DuckDB.

Weights. An outcome that is known because its model was called stands for 1 / propensity requests,
cut at 50; one that is known of both models alike (shadow calls, an audit) stands for itself, as in
training (docs/labels.md). A fallback's outcome beside the cheap one is no such audit: it is known
because the cheap answer was refused.

Users seldom say anything of a refused answer, as they did not see it. So a judged cheap answer also
stands for the unjudged ones of its kind, refused or kept; where of refused ones none is judged, the
quality of the cheap model is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from difficulty.decisions import DecisionTable, exact_sum, plain_sum
from difficulty.errors import LogError
from difficulty.monitor.watched_figures import LARGEST_WEIGHT
from difficulty.records import Prices

BUCKETS = 256
"""Groups fall by their hash into so many parts, whole. Sums over a part are all that intervals
need: parts are as independent as groups, and 256 estimate their spread with 255 degrees of freedom,
whatever the size of the log.
"""
KINDS = ("route", "task", "ineligible", "bundle_version", "cheap_model", "frontier_model")
"""Kinds of slices, each a column; ``ineligible`` is the rules by which a model could not take a
request.
"""
NONE, OTHER = "none", "other"
"""Names of the slices of requests that have no such value, and of those of rare ones."""
MOST_SLICES = 20
"""Of a kind; what is rarer is one slice."""
_CAUGHT = "(route = 'cheap' AND coalesce(fallback = 'validation', FALSE))"
_MOST_GROUPS = 1 << 18
_FEW_GROUPS = 1 << 10
_LITTLE = 0.01
"""Share of refused answers up to which their quality moves nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedLog:
    """What the view holds.

    Attributes
    ----------
    requests, own : int
        Events of the time looked at, and those that the bundle decided.
    unsupported_cheap, unsupported_frontier : int
        Own events that could not have taken that route, as nothing was explored there.
    without_propensity : int
        Own events whose propensity is not known.
    audited : bool
        Whether outcomes of both models are known of requests on the frontier route.
    imputed_cheap, imputed_frontier : int
        Own events whose cost on that model is taken from others of their task.
    hidden : int
        Refused cheap answers of which none is judged, while kept ones are: so many that the judged
        are no picture of all; else 0.
    groups : float
        About how many conversations or users the own events are of.
    rare : dict of str to int
        Kind to the values that are too rare for a slice of their own.
    first, last : date
        Days of the first and the last own event.
    """

    requests: int
    own: int
    unsupported_cheap: int
    unsupported_frontier: int
    without_propensity: int
    audited: bool
    imputed_cheap: int
    imputed_frontier: int
    hidden: int
    groups: float
    rare: dict[str, int]
    first: date
    last: date


def make_watched(
    table: DecisionTable,
    *,
    bundle_version: str | None,
    target: Literal["benefit", "failure"],
    prices: Prices | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> WatchedLog:
    """Make the view ``watched`` on the decisions.

    Parameters
    ----------
    table : DecisionTable
    bundle_version : str, optional
        Version whose events are the router's own; None: all are.
    target : {"benefit", "failure"}
        What "needed the frontier model" means: it did better, or the cheap model failed.
    prices : Prices, optional
        For calls whose cost the log does not have.
    since, until : datetime, optional
        First moment, and first moment no more; in UTC where they have a zone.

    Raises
    ------
    LogError
        If no event is left.
    """
    limits = [
        f"time {sign} TIMESTAMP '{_utc(moment)}'"
        for sign, moment in ((">=", since), ("<", until))
        if moment is not None
    ]
    where = f" WHERE {' AND '.join(limits)}" if limits else ""
    table.run("DROP VIEW IF EXISTS watched")
    costs = {side: _call_cost(side, prices) for side in ("cheap", "frontier")}
    own = "TRUE" if bundle_version is None else f"bundle_version = {_text(bundle_version)}"
    seen = _count_kinds(table, where, own)
    _share_costs(table, costs, where, own)
    stands_for, of_kept, hidden = _judged(seen)
    frequent, rare = _frequent(table, where)
    audited = seen["audited"] > 0
    shadow = seen["shadow"] / seen["frontier"] if seen["frontier"] else 0.0
    table.run(
        _watched(
            where,
            own,
            costs,
            prices,
            frequent,
            target=target,
            audited=audited,
            shadow=shadow,
            stands_for=stands_for,
            of_kept=of_kept,
        )
    )
    table.gather(
        "watched_counts",
        "SELECT count(*) AS n, count(*) FILTER (own) AS own,"
        " count(*) FILTER (own AND route = 'frontier' AND propensity >= 1) AS uncheap,"
        " count(*) FILTER (own AND route = 'cheap' AND propensity >= 1) AS unfrontier,"
        " count(*) FILTER (own AND propensity IS NULL) AS unknown,"
        " count(*) FILTER (own AND imputed_cheap) AS imputed_cheap,"
        " count(*) FILTER (own AND imputed_frontier) AS imputed_frontier,"
        " min(day) FILTER (own) AS first, max(day) FILTER (own) AS last FROM watched",
    )
    names = ("n", "own", "uncheap", "unfrontier", "unknown", "imputed_cheap", "imputed_frontier")
    row = table.connection.execute(
        f"SELECT {', '.join(f'CAST(sum({name}) AS BIGINT)' for name in names)}, min(first),"
        " max(last) FROM watched_counts"
    ).fetchone()
    if not row[1]:
        raise LogError(_nothing_left(table, bundle_version, row[0], limited=bool(limits)))
    return WatchedLog(
        requests=row[0],
        own=row[1],
        unsupported_cheap=row[2],
        unsupported_frontier=row[3],
        without_propensity=row[4],
        audited=audited,
        imputed_cheap=row[5],
        imputed_frontier=row[6],
        hidden=hidden,
        groups=_count_groups(table, row[1]),
        rare=rare,
        first=row[7],
        last=row[8],
    )


def _count_groups(table: DecisionTable, own: int) -> float:
    """Return how many groups the own events are of: all of them up to some hundred thousand, beyond
    that those of which the hash is a multiple of some number, times that.
    """
    sampled = 1 << max(0, (own // _MOST_GROUPS).bit_length())
    for every in (sampled, 1):
        table.gather(
            "clusters", f"SELECT DISTINCT cluster FROM watched WHERE own AND cluster % {every} = 0"
        )
        n = int(_first(table.connection, "SELECT count(DISTINCT cluster) FROM clusters"))
        if n >= _FEW_GROUPS or every == 1:
            break
    return float(n * every)


def _count_kinds(table: DecisionTable, where: str, own: str) -> dict[str, int]:
    """Return counts of events: what the view depends on."""
    within = f"({where.removeprefix(' WHERE ') or 'TRUE'})"
    of_cheap = f"{within} AND ({own}) AND route = 'cheap'"
    judged = "cheap_quality IS NOT NULL"
    kinds = {
        "audited": "route = 'frontier' AND cheap_quality IS NOT NULL"
        " AND frontier_quality IS NOT NULL",
        "frontier": f"{within} AND route = 'frontier'",
        "shadow": f"{within} AND route = 'frontier' AND cheap_role = 'shadow'",
        "refused": f"{of_cheap} AND {_CAUGHT}",
        "refused_judged": f"{of_cheap} AND {_CAUGHT} AND {judged}",
        "kept": f"{of_cheap} AND NOT {_CAUGHT}",
        "kept_judged": f"{of_cheap} AND NOT {_CAUGHT} AND {judged}",
    }
    counted = ", ".join(f"count(*) FILTER ({of}) AS {name}" for name, of in kinds.items())
    table.gather("kinds_of_events", f"SELECT {counted} FROM decisions")
    sums = ", ".join(f"CAST(sum({name}) AS BIGINT)" for name in kinds)
    row = table.connection.execute(f"SELECT {sums} FROM kinds_of_events").fetchone()
    return dict(zip(kinds, row, strict=True))


def _judged(seen: Mapping[str, int]) -> tuple[str, str, int]:
    """Return SQL for how many cheap answers of its kind, refused or kept, a judged one stands for,
    the same for kept ones alone, and the refused ones where none of them is judged.
    """
    refused, judged = seen["refused"], seen["refused_judged"]
    kept, kept_judged = seen["kept"], seen["kept_judged"]
    # Where no kept answer is judged, that refused ones reach nobody is no word on the kept.
    of_kept = repr(kept / kept_judged) if kept_judged else "NULL" if kept else "1.0"
    if kept_judged and not judged and refused > _LITTLE * (refused + kept):
        return "NULL", of_kept, refused
    of_refused = refused / judged if judged else 1.0
    stands_for = f"CASE WHEN {_CAUGHT} THEN {of_refused!r} ELSE {of_kept} END"
    return stands_for if kept_judged else repr(of_refused), of_kept, 0


def _nothing_left(
    table: DecisionTable, version: str | None, requests: int, *, limited: bool
) -> str:
    if requests == 0:
        span = f"{table.reading.first} to {table.reading.last}"
        return (
            f"a log must hold events of the time that is looked at: got none, it holds {span}."
            " Change --since or --until."
        )
    versions = ", ".join(f"{name!r:.80}" for name in list(table.reading.bundle_versions)[:5])
    return (
        f"a log must hold events that the bundle {version!r} decided: got {requests:,} of"
        f" {versions}. Name that bundle, or pass --any-bundle to look at all of them."
    )


def _frequent(table: DecisionTable, where: str) -> tuple[dict[str, str], dict[str, int]]:
    """Return SQL for the slice of each kind, and how many values fall together as rare ones."""
    slices, rare = {}, {}
    for kind in KINDS:
        name = f"coalesce(d.{kind}, {_text(NONE)})"
        table.gather(
            "kind_counts",
            f"SELECT {name} AS value, count(*) AS n FROM decisions d{where} GROUP BY 1",
        )
        rows = table.connection.execute(
            "SELECT value, sum(n) FROM kind_counts GROUP BY 1 ORDER BY 2 DESC, 1"
        ).fetchall()
        names = [value for value, _ in rows[:MOST_SLICES]]
        listed = ", ".join(map(_text, names)) or "''"
        if len(rows) > MOST_SLICES:
            rare[kind] = len(rows) - MOST_SLICES
            name = f"CASE WHEN {name} IN ({listed}) THEN {name} ELSE {_text(OTHER)} END"
        slices[kind] = name
    return slices, rare


def _first(connection: Any, sql: str) -> Any:
    return connection.execute(sql).fetchone()[0]


def _utc(moment: datetime) -> str:
    from datetime import UTC

    plain = moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    return plain.isoformat(sep=" ")


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _call_cost(side: str, prices: Prices | None) -> str:
    """Return the cost of a model's call: as billed, else its tokens by price; null without one."""
    billed = f"{side}_cost_usd"
    if prices is None:
        return billed
    reading, writing = getattr(prices, f"{side}_input"), getattr(prices, f"{side}_output")
    tokens = f"{side}_prompt_tokens * {reading} + {side}_completion_tokens * {writing}"
    return f"coalesce({billed}, ({tokens}) / 1e6)"


def _share_costs(table: DecisionTable, costs: dict[str, str], where: str, own: str) -> None:
    """Make the table of what a call of each model costs and writes on average, by task and over
    all, where the events are; each call stands for 1 / propensity requests. Beside it stand the sum
    of the weights, and the own requests whose cost is taken from that mean.
    """
    weight = f"least(1.0 / coalesce(propensity, 1.0), {LARGEST_WEIGHT})"
    parts, means = [], []
    for side, cost in costs.items():
        chosen = f"({side}_role = 'answer' AND {{0}} IS NOT NULL)"
        for name, value in (("cost", cost), ("written", f"{side}_completion_tokens")):
            mine, total = chosen.format(value), f"{side}_{name}"
            parts += [
                f"{exact_sum(f'({weight} * ({value}))', mine)} AS {total}_sum",
                f"{exact_sum(weight, mine)} AS {total}_stood",
            ]
            stood_for = plain_sum(f"sum({total}_stood)")
            means += [
                f"{plain_sum(f'sum({total}_sum)')} / nullif({stood_for}, 0) AS {total}",
                f"{stood_for} AS {total}_weight",
            ]
        parts.append(f"count(*) FILTER (({own}) AND ({cost}) IS NULL) AS {side}_imputed")
        means.append(f"CAST(sum({side}_imputed) AS BIGINT) AS {side}_imputed")
    table.gather(
        "cost_parts",
        f"SELECT task, {', '.join(parts)} FROM (SELECT * REPLACE (coalesce(task, '') AS task)"
        f" FROM decisions{where}) GROUP BY task",
    )
    table.connection.execute(
        "CREATE OR REPLACE TEMP TABLE cost_means AS SELECT task, GROUPING(task) AS whole,"
        f" {', '.join(means)} FROM cost_parts GROUP BY GROUPING SETS ((task), ())"
    )
    # The mean over all is taken where the task has no call.
    for side in costs:
        table.connection.execute(
            f"UPDATE cost_means SET {side}_imputed = (SELECT coalesce(sum({side}_imputed), 0)"
            f" FROM cost_means WHERE whole = 0 AND {side}_cost IS NULL) WHERE whole = 1"
        )
    table.share("task_costs", "SELECT * FROM cost_means")


def _unsure(side: str, cost: str, prices: Prices | None) -> str:
    """Return how much a call moves what is taken from it for others: its own distance from the mean
    times the requests that the mean stands for. Over all calls of a task this adds up to 0.
    """
    kind, value = "cost", f"({cost})"
    if prices is not None:
        writing = getattr(prices, f"{side}_output") / 1e6
        kind, value = "written", f"CAST({side}_completion_tokens AS DOUBLE)"
    scale = repr(writing) if prices is not None else "1.0"
    weight = f"least(1.0 / coalesce(propensity, 1.0), {LARGEST_WEIGHT})"
    moved = " + ".join(
        f"coalesce(({value} - {mean}.{side}_{kind}) * {mean}.{side}_imputed /"
        f" nullif({mean}.{side}_{kind}_weight, 0), 0)"
        for mean in ("c", "w")
    )
    return (
        f"CASE WHEN {side}_role = 'answer' AND {value} IS NOT NULL THEN {weight} * {scale} *"
        f" ({moved}) ELSE 0.0 END"
    )


def _always(side: str, cost: str, prices: Prices | None) -> tuple[str, str]:
    """Return what a request costs on a model, and whether that is taken from others."""
    mean = f"coalesce(c.{side}_cost, w.{side}_cost)"
    if prices is not None:
        reading, writing = getattr(prices, f"{side}_input"), getattr(prices, f"{side}_output")
        other = "frontier" if side == "cheap" else "cheap"
        prompt = f"coalesce(d.{other}_prompt_tokens, d.tokens)"
        written = f"coalesce(c.{side}_written, w.{side}_written)"
        mean = f"coalesce(({prompt} * {reading} + {written} * {writing}) / 1e6, {mean})"
    return f"coalesce({cost}, {mean})", f"({cost}) IS NULL"


def _needed(target: str, both: str) -> str:
    """Return whether a request needed the frontier model, where that is known."""
    if target != "benefit":
        return "CAST(cheap_quality < 0.5 AS DOUBLE)"
    return (
        f"CASE WHEN preference = 'tie' THEN 0.0 WHEN {both} THEN CAST(frontier_quality >"
        " cheap_quality AS DOUBLE) WHEN preference IS NOT NULL THEN CAST(preference ="
        " 'frontier' AS DOUBLE) END"
    )


def _total(costs: dict[str, str]) -> str:
    """Return what a request cost: as billed, else by the prices of the calls that answered."""
    paid = " + ".join(
        f"CASE WHEN {side}_role IN ('answer', 'fallback') AND {side}_error IS NULL"
        f" THEN {cost} ELSE 0.0 END"
        for side, cost in costs.items()
    )
    called = "cheap_role = 'answer' OR frontier_role = 'answer'"
    return f"coalesce(cost_usd, CASE WHEN {called} THEN {paid} END)"


def _watched(
    where: str,
    own: str,
    costs: dict[str, str],
    prices: Prices | None,
    slices: dict[str, str],
    *,
    target: str,
    audited: bool,
    shadow: float,
    stands_for: str,
    of_kept: str,
) -> str:
    both = "cheap_quality IS NOT NULL AND frontier_quality IS NOT NULL"
    # Of a null and a number, least() is the number.
    weight = f"CASE WHEN propensity IS NOT NULL THEN least(1.0 / propensity, {LARGEST_WEIGHT}) END"
    alike = f"{both}" if audited else "FALSE"

    def of_side(side: str) -> str:
        return (
            f"CASE WHEN {side}_quality IS NULL THEN NULL WHEN {alike} THEN 1.0"
            f" WHEN route = '{side}' AND (fallback IS NULL OR '{side}' = 'cheap')"
            f" THEN {weight}{f' * ({stands_for})' if side == 'cheap' else ''} END"
        )

    fell = "(route = 'cheap' AND fallback IS NOT NULL)"
    caught = _CAUGHT
    answered = "(frontier_role = 'fallback' AND frontier_error IS NULL)"
    needed = _needed(target, both)
    need_weight = "1.0" if target == "benefit" else of_side("cheap")
    p_cheap = "CASE WHEN route = 'cheap' THEN propensity ELSE 1.0 - propensity END"
    looked = f"(({p_cheap}) + (1.0 - ({p_cheap})) * {shadow!r})"
    always = {side: _always(side, cost, prices) for side, cost in costs.items()}
    kept_caught = "NULL" if of_kept == "NULL" else "1.0"
    total = "cost_usd" if prices is None else _total(costs)
    columns = {
        "week": "CAST(date_trunc('week', d.day) AS DATE)",
        "day": "d.day",
        "bucket": f'CAST(hash(coalesce(d."group", d.id)) % {BUCKETS} AS SMALLINT)',
        "cluster": 'hash(coalesce(d."group", d.id))',
        "own": own,
        **{f"by_{kind}": value for kind, value in slices.items()},
        "route": "route",
        "policy_route": "policy_route",
        "held_on": "held_on",
        "ineligible": "coalesce(reason = 'ineligible', FALSE)",
        "untaken": (
            "coalesce(contains(d.ineligible, 'cheap.') AND contains(d.ineligible, 'frontier.'),"
            " FALSE)"
        ),
        "switch_cost_usd": "switch_cost_usd",
        "propensity": "propensity",
        "own_way": f"CASE WHEN route = policy_route THEN {weight} END",
        "fell": fell,
        "caught": caught,
        "by_check": f"({caught} AND coalesce(policy_escalates = 1, FALSE))",
        "checked": "escalated IS NOT NULL",
        "policy_escalates": "policy_escalates",
        "cheap_role": "cheap_role",
        "cheap_passed": "cheap_passed",
        "cheap_quality": "cheap_quality",
        "frontier_quality": "frontier_quality",
        "seen_quality": (
            f"CASE WHEN route = 'frontier' OR {answered} THEN frontier_quality"
            " ELSE cheap_quality END"
        ),
        "cheap_weight": of_side("cheap"),
        "frontier_weight": of_side("frontier"),
        "needed": needed,
        "need_weight": need_weight,
        "look_weight": f"CASE WHEN {looked} > 0 THEN least(1.0 / {looked}, {LARGEST_WEIGHT}) END",
        "cost_usd": total,
        **{f"always_{side}": value for side, (value, _) in always.items()},
        **{f"imputed_{side}": taken for side, (_, taken) in always.items()},
        **{f"unsure_{side}": _unsure(side, cost, prices) for side, cost in costs.items()},
        # Of what the rule keeps: a refused answer is known to reach nobody, judged or not, so that
        # a judged kept one stands for the unjudged kept ones.
        "kept_weight": f"CASE WHEN {caught} THEN {kept_caught} ELSE {of_kept} END",
        "kept_failure": (
            f"CASE WHEN route <> 'cheap' OR ({caught} AND coalesce(policy_escalates = 1, FALSE))"
            f" THEN NULL WHEN {caught} THEN 0.0 WHEN NOT {fell} THEN 1.0 - cheap_quality END"
        ),
        "outcome": "outcome",
        "difficulty_score": "difficulty_score",
        "p_cheap_fails": "p_cheap_fails",
        "familiarity": "familiarity",
        "tokens": "d.tokens",
        "latency_ms": "latency_ms",
        "decision_ms": "decision_ms",
    }
    listed = ", ".join(f"{value} AS {name}" for name, value in columns.items())
    return (
        f"CREATE TEMP VIEW watched AS SELECT {listed} FROM (SELECT * FROM decisions{where}) d"
        " LEFT JOIN task_costs c ON coalesce(d.task, '') = c.task AND c.whole = 0"
        " LEFT JOIN task_costs w ON w.whole = 1"
    )
