"""What a person who owns the budget has to know: what the threshold does, what it saves, what it
costs, how sure that is.

The verdict is computed from the figures. What is unknown is said to be unknown, with the reason.
"""

from __future__ import annotations

from difficulty.evaluation.result import Evaluation
from difficulty.records import Estimate
from difficulty.report.blocks import Facts, Notice, Section, Tiles
from difficulty.report.extras import Extras
from difficulty.report.wording import as_percent, as_text, complement

_ABSENT = Estimate(value=None, note="it was not evaluated")


def summary_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return verdict, main figures and four sentences."""
    if evaluation.threshold is None:
        facts = [
            ("What can be judged", _ranking(evaluation)),
            ("How sure that is", _certainty(evaluation, extras)),
        ]
        return Section("summary", "Summary", (verdict(evaluation, extras), Facts(tuple(facts))))
    facts = [
        ("What the threshold does", _action(evaluation, extras)),
        ("What it saves", _saving(evaluation, extras)),
        ("What it costs in quality", _quality(evaluation, extras)),
        ("How sure that is", _certainty(evaluation, extras)),
    ]
    return Section(
        "summary", "Summary", (verdict(evaluation, extras), _tiles(evaluation), Facts(tuple(facts)))
    )


def verdict(evaluation: Evaluation, extras: Extras) -> Notice:
    """Return what to make of it all, from the gravest reason for doubt down."""
    grave = [finding for finding in evaluation.findings if finding.severity == "error"]
    if grave:
        more = f" {len(grave)} grave findings stand below." if len(grave) > 1 else ""
        return Notice(
            "error", "Do not rely on these figures yet", f"{grave[0].message}{more}", lead=True
        )
    if evaluation.threshold is None:
        return Notice("info", "No threshold has been chosen", _order(evaluation), lead=True)
    recovered = _of(evaluation, "gap_recovered")
    if recovered.value is None:
        return Notice(
            "info",
            "What routing does to quality is not known",
            f"{_because(recovered)} {_order(evaluation)}",
            lead=True,
        )
    ahead = evaluation.baselines.get("random", {}).get("quality_difference", _ABSENT)
    if ahead.low is not None and ahead.low <= 0.0:
        return Notice(
            "warning",
            "Routing by this score is not shown to beat chance",
            _against_chance(evaluation, ahead),
            lead=True,
        )
    at_random = _kept_at_random_for_the_money(evaluation)
    text = _balance(evaluation, extras, ahead)
    if at_random is not None and recovered.low is not None and recovered.low <= at_random:
        return Notice(
            "warning", "For its cost, this routing is not shown to beat chance", text, lead=True
        )
    if _warnings(evaluation):
        return Notice("warning", "Routing works, with warnings", text, lead=True)
    return Notice("good", "Routing works on this traffic", text, lead=True)


def _balance(evaluation: Evaluation, extras: Extras, ahead: Estimate) -> str:
    kept, recovered = (
        complement(_of(evaluation, "frontier_share")),
        _of(evaluation, "gap_recovered"),
    )
    text = (
        f"{as_percent(kept)} of the requests stay on {extras.cheap}, and the answers keep"
        f" {as_percent(recovered)} of the quality that {extras.frontier} would add if it answered"
        " everything."
    )
    if ahead.value is not None:
        text += f" {_against_chance(evaluation, ahead)}"
    at_random = _kept_at_random_for_the_money(evaluation)
    if at_random is not None:
        text += (
            " Spent on requests picked at random, the same money would keep about"
            f" {100.0 * at_random:.1f} % of it."
        )
    warned = _warnings(evaluation)
    return text + (
        f" Read the {'warning' if warned == 1 else f'{warned} warnings'} below first."
        if warned
        else ""
    )


def _kept_at_random_for_the_money(evaluation: Evaluation) -> float | None:
    """Return the share of the gain that random routing of the same cost keeps: both grow evenly
    with the share it sends.
    """
    ends = [
        evaluation.baselines.get(name, {}).get("cost", _ABSENT).value
        for name in ("always_cheap", "always_frontier")
    ]
    cost = _of(evaluation, "cost").value
    if cost is None or ends[0] is None or ends[1] is None or ends[1] <= ends[0]:
        return None
    return min(1.0, max(0.0, (cost - ends[0]) / (ends[1] - ends[0])))


def _against_chance(evaluation: Evaluation, ahead: Estimate) -> str:
    direction = "higher" if (ahead.value or 0.0) >= 0.0 else "lower"
    return (
        f"Mean quality is {direction} by {_difference(ahead)} than when the same share is sent at"
        " random."
    )


def _difference(estimate: Estimate) -> str:
    value = abs(estimate.value or 0.0)
    if estimate.low is None or estimate.high is None:
        return f"{value:.3f}"
    ends = (
        (estimate.low, estimate.high)
        if (estimate.value or 0.0) >= 0.0
        else (-estimate.high, -estimate.low)
    )
    return f"{value:.3f} ({ends[0]:.3f} to {ends[1]:.3f})"


def _tiles(evaluation: Evaluation) -> Tiles:
    kept, saving = complement(_of(evaluation, "frontier_share")), _of(evaluation, "saving")
    items = (
        ("of the requests stay cheap", kept, "the rest goes to the frontier model", True),
        ("of the money saved", saving, "against the frontier model for everything", True),
        (
            "of the quality gain kept",
            _of(evaluation, "gap_recovered"),
            "of what the frontier model adds",
            True,
        ),
        ("mean quality", _of(evaluation, "quality"), "from 0 to 1", False),
    )
    return Tiles(
        tuple(
            (name, *_large(estimate, meaning, percent=percent))
            for name, estimate, meaning, percent in items
        )
    )


def _large(estimate: Estimate, meaning: str, *, percent: bool) -> tuple[str, str]:
    """Return a figure for a tile, and its interval with what it means."""
    text = (
        as_percent(estimate)
        if percent
        else as_text(estimate).replace("[", "(").replace(", ", " to ").replace("]", ")")
    )
    value, _, interval = text.partition(" (")
    return value, f"{interval.rstrip(')')}: {meaning}" if interval else meaning


def _action(evaluation: Evaluation, extras: Extras) -> str:
    share, fallback = _of(evaluation, "frontier_share"), _of(evaluation, "fallback_share")
    text = (
        f"A request whose difficulty score is above {evaluation.threshold:.6g} goes to"
        f" {extras.frontier}, any other stays on {extras.cheap}. Of the judged requests"
        f" {as_percent(share)} are sent."
    )
    if extras.chosen and extras.chosen.rules:
        text += (
            f" Rules that come before the score are counted in: {'; '.join(extras.chosen.rules)}."
        )
    if fallback.value is not None:
        text += (
            f" {as_percent(fallback)} are answered twice, because validation catches the cheap"
            " answer and the frontier model is asked then."
        )
    return text


def _saving(evaluation: Evaluation, extras: Extras) -> str:
    kept, cost, saving = (
        complement(_of(evaluation, "frontier_share")),
        _of(evaluation, "cost"),
        _of(evaluation, "saving"),
    )
    calls = f"{as_percent(kept)} of the first calls to {extras.frontier} are avoided."
    if cost.value is None:
        return f"{calls} What that is in money is unknown: {cost.note}."
    everything = evaluation.baselines.get("always_frontier", {}).get("cost", _ABSENT)
    text = (
        f"1,000 requests cost USD {as_text(cost)} instead of {as_text(everything)} with"
        f" {extras.frontier} for everything"
    )
    return (
        f"{text}: {as_percent(saving)} less. {calls}"
        if saving.value is not None
        else f"{text}. {calls}"
    )


def _quality(evaluation: Evaluation, extras: Extras) -> str:
    quality = _of(evaluation, "quality")
    if quality.value is None:
        return f"Unknown: {quality.note}. {_risk(evaluation, extras)}"
    ends = {
        name: evaluation.baselines.get(name, {}).get("quality", _ABSENT)
        for name in ("always_frontier", "always_cheap")
    }
    return (
        f"Mean quality is {as_text(quality)}. It would be {as_text(ends['always_frontier'])} with"
        f" {extras.frontier} for everything and {as_text(ends['always_cheap'])} with {extras.cheap}"
        f" for everything. {_risk(evaluation, extras)}"
    )


def _risk(evaluation: Evaluation, extras: Extras) -> str:
    risk = _of(evaluation, "risk")
    if risk.value is None:
        return f"How many kept requests {extras.cheap} fails is unknown: {risk.note}."
    return (
        f"Of the kept requests {extras.cheap} fails {as_percent(risk)}, some of which"
        f" {extras.frontier} would fail too."
    )


def _certainty(evaluation: Evaluation, extras: Extras) -> str:
    counts = evaluation.counts
    text = (
        f"Ranges in brackets hold the middle 95 % of {evaluation.n_draws:,} resamplings of"
        f" {counts['requests']:,} requests in {counts['groups']:,} groups. They say how sure a"
        " figure is on this traffic, not how it would move with next month's traffic or another"
        " training."
    )
    if extras.chosen is None:
        return text
    text += (
        f" The threshold was chosen on {extras.chosen.n:,} other requests (objective"
        f" {extras.chosen.objective})"
    )
    expected = extras.chosen.expected.get("frontier_share", _ABSENT)
    text += f", where {as_percent(expected)} were sent." if expected.value is not None else "."
    if extras.chosen.guarantee:
        text += f" What is promised: {extras.chosen.guarantee}."
    return f"{text} Review it by {extras.chosen.review_date}."


def _ranking(evaluation: Evaluation) -> str:
    more = (
        "Share, quality and cost depend on a threshold: 'difficulty ship' chooses one, and the"
        " slider below shows them for any."
    )
    return f"{_order(evaluation)} {more}"


def _order(evaluation: Evaluation) -> str:
    """Return how well the score orders requests."""
    apgr, auroc = _of(evaluation, "apgr"), _of(evaluation, "auroc")
    if apgr.value is not None:
        return (
            f"The score orders requests {_above_half(apgr)}: APGR {as_text(apgr)}, where chance has"
            " 0.5."
        )
    if auroc.value is not None:
        return (
            f"The score orders requests {_above_half(auroc)}: AUROC {as_text(auroc)}, where chance"
            " has 0.5."
        )
    return f"How well the score orders requests is unknown: {auroc.note}."


def _above_half(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return "so far as one can tell without an interval"
    return (
        "better than chance"
        if estimate.low > 0.5
        else "worse than chance"
        if estimate.high < 0.5
        else "not measurably better than chance"
    )


def _because(estimate: Estimate) -> str:
    return f"{estimate.note[:1].upper()}{estimate.note[1:]}."


def _warnings(evaluation: Evaluation) -> int:
    return sum(finding.severity == "warning" for finding in evaluation.findings)


def _of(evaluation: Evaluation, name: str) -> Estimate:
    return evaluation.overall.get(name, _ABSENT)
