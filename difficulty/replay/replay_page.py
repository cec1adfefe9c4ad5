"""The result of a replay in words: one sentence, the next command, and ``replay.md``."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from difficulty.records import Estimate
from difficulty.replay.exploration_plan import PlannedExploration
from difficulty.replay.replay_result import ReplayResult
from difficulty.text import one_line, quantity_text

_TITLES = {
    "quality": "quality",
    "risk": "risk of the kept requests",
    "cost": "cost, USD per 1,000",
    "fallback_share": "fallback share",
    "frontier_share": "sent by the rule",
}
_ESTIMATORS = {
    "doubly_robust": "doubly robust (the figure)",
    "inverse_propensity": "inverse propensity",
    "self_normalised": "self-normalised",
    "switch": "switch",
    "shrinkage": "shrinkage",
    "model_alone": "the model alone",
    "naive": "naive mean of agreeing requests",
}
_UNKNOWN = "unknown"


class Places(NamedTuple):
    """Where things lie that the next command names; ``None``: not known."""

    logged_bundle: Path | None = None
    out: Path | None = None


def sum_up(result: ReplayResult, places: Places) -> tuple[str, str]:
    """Return the result in one sentence, and the command that comes next."""
    title = result.candidate.title
    title = title[0].upper() + title[1:]
    parts = [
        f"{_short(name)} {text}"
        for name in ("quality", "frontier_share", "cost")
        if (text := _change(result, name)) is not None
    ]
    told = "; ".join(parts) if parts else "nothing of it can be told"
    return (
        f"{title} on {quantity_text(result.counts['requests'], 'logged request')}: {told}.",
        _next(result, places),
    )


def write_page(result: ReplayResult) -> str:
    """Return ``replay.md``."""
    return "\n".join(_lines(result)) + "\n"


def _lines(result: ReplayResult) -> Iterator[str]:
    yield f"# Replay of {one_line(result.candidate.title)}"
    yield ""
    yield result.sentence
    yield ""
    said, word, command = result.next_step.partition("difficulty ")
    yield f"Next: {said}" + (f"`{word}{command}`" if word else "")
    yield ""
    yield "| figure | candidate | logged rule | difference | carried by outcomes |"
    yield "| --- | --- | --- | --- | --- |"
    for name, title in _TITLES.items():
        carried = result.outcomes.get(name)
        told = [_cell(name, part[name]) for part in (result.overall, result.logged)]
        told.append(_cell(name, result.difference[name], signed=True))
        carrying = "" if carried is None else f"{carried:,.0f}"
        yield f"| {' | '.join((title, *told, carrying))} |"
    yield ""
    yield (
        "In parentheses 95 % intervals by group. The interval of a difference is that of the"
        " difference: where both rules agree, nothing is added to it."
    )
    for heading, lines in (
        ("What to look at", result.findings),
        ("What this rests on", result.assumptions),
    ):
        if lines:
            yield from ("", f"## {heading}", "", *(f"- {one_line(line)}" for line in lines))
    yield from ("", "## By other estimators", "")
    names = [name for name in result.estimators if name != "fallback_share"]
    yield f"| estimator | {' | '.join(_TITLES[name] for name in names)} |"
    yield "| --- |" + " --- |" * len(names)
    for kind, title in _ESTIMATORS.items():
        cells = (_cell(name, result.estimators[name][kind]) for name in names)
        yield f"| {title} | {' | '.join(cells)} |"
    yield ""
    yield (
        "Switch and shrinkage give up some truth for less noise: their intervals know nothing of"
        " that. The naive mean is wrong wherever exploration is not even."
    )
    if result.plan is not None:
        yield from _plan_lines(result)
    yield from ("", "## The requests", "", "| count | requests |", "| --- | --- |")
    for name, n in result.counts.items():
        yield f"| {name.replace('_', ' ')} | {n:,} |"
    for version, n in result.log["bundle_versions"].items():
        yield f"| decided by {one_line(version)} | {n:,} |"


def _plan_lines(result: ReplayResult) -> Iterator[str]:
    plan = result.plan
    assert plan is not None
    yield from ("", f"## To know the difference of quality to a width of {plan.width:g}", "")
    now = "no interval" if plan.width_now is None else f"a width of {plan.width_now:.4f}"
    yield f"This log gives {now}."
    yield ""
    if not plan.ways:
        yield "Neither exploration nor shadow calls would tell: no request is sent apart."
        return
    yield "| way | requests in all | days | quality lost a request meanwhile | extra cost, USD |"
    yield "| --- | --- | --- | --- | --- |"
    for way in plan.ways:
        yield f"| {' | '.join(_planned(way))} |"


def _planned(way: PlannedExploration) -> tuple[str, ...]:
    name = "epsilon" if way.way == "explore" else "shadow"
    return (
        f"`{name}={way.share:g}`",
        f"{way.requests:,}",
        _UNKNOWN if way.days is None else f"{way.days:,.1f}",
        _UNKNOWN if way.quality_lost is None else f"{way.quality_lost:.4f}",
        _UNKNOWN if way.usd is None else f"{way.usd:,.2f}",
    )


def _change(result: ReplayResult, name: str) -> str | None:
    """Return a figure and its change in words; ``None`` where nothing is known of it."""
    value, difference = result.overall[name], result.difference[name]
    if value.value is None:
        if value.low is None and value.high is None:
            return None
        return f"between {_ends(name, value, ' and ')}{_unit(name)}"
    text = f"{_number(name, value.value)}{_unit(name)}"
    if difference.value is None:
        return text
    return f"{text}, {_cell(name, difference, signed=True)} against the logged rule"


def _next(result: ReplayResult, places: Places) -> str:
    candidate = result.candidate
    versions = list(result.log["bundle_versions"])
    bundle, of = "BUNDLE", ""
    if places.logged_bundle is not None:
        bundle = shlex.quote(str(places.logged_bundle))
    elif versions:  # the log knows its name, not its folder
        of = f"with the folder of {one_line(versions[-1])} for BUNDLE: "
    if not result.is_supported or _rests_on_few(result):
        if result.plan is None:
            return "replay again as before, with --plan 0.02: what exploration would tell"
        return f"{of}difficulty policy {bundle} --set epsilon=0.05 -o NEXT"
    if candidate.kind == "bundle":
        out = "DIR" if places.out is None else shlex.quote(str(places.out))
        return f"difficulty promote NAME --replay {out} --registry REGISTRY"
    share = result.overall["frontier_share"].value
    objective = "OBJECTIVE" if share is None else f"share={share:.3g}"
    return f"{of}difficulty thresholds {bundle} TRAFFIC --objective {objective} -o NEXT"


def _rests_on_few(result: ReplayResult) -> bool:
    return bool(result.difference["quality"].note) and result.counts["sent_apart"] > 0


def _short(name: str) -> str:
    return "cost, USD per 1,000," if name == "cost" else _TITLES[name]


def _cell(name: str, estimate: Estimate, *, signed: bool = False) -> str:
    """Return an estimate as ``28.7 % (25.8 to 31.4)``."""
    has_ends = (estimate.low, estimate.high) != (None, None)
    if estimate.value is None:
        ends = f"{_ends(name, estimate, ' to ', signed=signed)}{_unit(name, signed=signed)}"
        return f"{_UNKNOWN}, {ends}" if has_ends else _UNKNOWN
    text = f"{_number(name, estimate.value, signed=signed)}{_unit(name, signed=signed)}"
    return f"{text} ({_ends(name, estimate, ' to ', signed=signed)})" if has_ends else text


def _ends(name: str, estimate: Estimate, between: str, *, signed: bool = False) -> str:
    return between.join(
        _UNKNOWN if end is None else _number(name, end, signed=signed)
        for end in (estimate.low, estimate.high)
    )


def _number(name: str, value: float, *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    if name == "cost":
        return f"{value:{sign}.4g}"
    return f"{value:{sign}.4f}" if name == "quality" else f"{100.0 * value:{sign}.1f}"


def _unit(name: str, *, signed: bool = False) -> str:
    """Return what stands behind a number: a difference of two shares is in points."""
    if name in ("cost", "quality"):
        return ""
    return " points" if signed else " %"
