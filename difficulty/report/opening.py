"""What a person who owns the budget has to know: what the threshold does, what it saves, what it
costs, how sure that is, and what speaks against it.

The verdict is computed from the figures. What is unknown is said to be unknown, with the reason.
"""

from __future__ import annotations

from typing import Final

from difficulty.evaluation.result import Evaluation
from difficulty.records import Estimate
from difficulty.report.blocks import Block, Extras, Facts, Notice, Section, Tiles, Tone
from difficulty.report.wording import as_percent, as_text, complement, threshold_text

_ABSENT = Estimate(value=None, note="it was not evaluated")
_TONES: Final[dict[str, tuple[Tone, str]]] = {
    "error": ("error", "Error"),
    "warning": ("warning", "Warning"),
    "info": ("info", "Note"),
}


def summary_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return verdict, main figures and four sentences; without a threshold what can be said."""
    certainty = ("How sure that is", _certainty(evaluation, extras))
    if evaluation.threshold is None:
        ranking = (
            f"{_order(evaluation)} Share, quality and cost depend on a threshold: 'difficulty ship'"
            " chooses one, and the slider below shows them for any."
        )
        blocks: list[Block] = [Facts((("What can be judged", ranking), certainty))]
    else:
        facts = (
            ("What the threshold does", _action(evaluation, extras)),
            ("What it saves", _saving(evaluation, extras)),
            ("What it costs in quality", _quality(evaluation, extras)),
            certainty,
        )
        blocks = [_tiles(evaluation), Facts(facts)]
    return Section.of("summary", "Summary", verdict(evaluation, extras), *blocks)


def verdict(evaluation: Evaluation, extras: Extras) -> Notice:
    """Return what to make of it all, from the gravest reason for doubt down."""
    tone, word, text = _verdict(evaluation, extras)
    return Notice(tone, word, text, lead=True)


def _verdict(evaluation: Evaluation, extras: Extras) -> tuple[Tone, str, str]:
    grave = [finding for finding in evaluation.findings if finding.severity == "error"]
    if grave:
        more = f" {len(grave)} grave findings stand below." if len(grave) > 1 else ""
        return "error", "Do not rely on these figures yet", f"{grave[0].message}{more}"
    if evaluation.threshold is None:
        return "info", "No threshold has been chosen", _order(evaluation)
    recovered = _of(evaluation, "gap_recovered")
    if recovered.value is None:
        why = f"{recovered.note[:1].upper()}{recovered.note[1:]}."
        word = "What routing does to quality is not known"
        return "info", word, f"{why} {_order(evaluation)}"
    # The interval's lower end decides, not the value: a lead that chance may explain is none.
    ahead = _of_baseline(evaluation, "random", "quality_difference")
    if ahead.low is not None and ahead.low <= 0.0:
        word = "Routing by this score is not shown to beat chance"
        return "warning", word, _against_chance(ahead)
    # Beating chance at its share is not enough: for the same money chance may send more requests.
    text = _balance(evaluation, extras, ahead)
    at_random = _kept_at_random_for_the_money(evaluation)
    if at_random is not None and recovered.low is not None and recovered.low <= at_random:
        return "warning", "For its cost, this routing is not shown to beat chance", text
    if _warnings(evaluation):
        return "warning", "Routing works, with warnings", text
    return "good", "Routing works on this traffic", text


def _balance(evaluation: Evaluation, extras: Extras, ahead: Estimate) -> str:
    stays_cheap = complement(_of(evaluation, "frontier_share"))
    text = (
        f"{as_percent(stays_cheap)} of the requests stay on {extras.cheap}, and the answers keep"
        f" {as_percent(_of(evaluation, 'gap_recovered'))} of the quality that {extras.frontier}"
        " would add if it answered everything."
    )
    if ahead.value is not None:
        text += f" {_against_chance(ahead)}"
    at_random = _kept_at_random_for_the_money(evaluation)
    if at_random is not None:
        text += (
            " Spent on requests picked at random, the same money would keep about"
            f" {100.0 * at_random:.1f} % of it."
        )
    if warned := _warnings(evaluation):
        text += f" Read the {'warning' if warned == 1 else f'{warned} warnings'} below first."
    return text


def _kept_at_random_for_the_money(evaluation: Evaluation) -> float | None:
    """Return the share of the gain that random routing of the same cost keeps."""
    # Cost and gain of random routing both grow evenly with the share that it sends.
    least = _of_baseline(evaluation, "always_cheap", "cost").value
    most = _of_baseline(evaluation, "always_frontier", "cost").value
    cost = _of(evaluation, "cost").value
    if cost is None or least is None or most is None or most <= least:
        return None
    return min(1.0, max(0.0, (cost - least) / (most - least)))


def _against_chance(ahead: Estimate) -> str:
    direction = "higher" if (ahead.value or 0.0) >= 0.0 else "lower"
    return (
        f"Mean quality is {direction} by {_size(ahead)} than when the same share is sent at random."
    )


def _size(estimate: Estimate) -> str:
    """Return a difference without its sign, its interval turned round where it was negative."""
    value, low, high = estimate.value or 0.0, estimate.low, estimate.high
    if low is None or high is None:
        return f"{abs(value):.3f}"
    low, high = (low, high) if value >= 0.0 else (-high, -low)
    return f"{abs(value):.3f} ({low:.3f} to {high:.3f})"


def _tiles(evaluation: Evaluation) -> Tiles:
    quality = as_text(_of(evaluation, "quality"))
    shares = (
        (
            "of the requests stay cheap",
            complement(_of(evaluation, "frontier_share")),
            "the rest goes to the frontier model",
        ),
        (
            "of the money saved",
            _of(evaluation, "saving"),
            "against the frontier model for everything",
        ),
        (
            "of the quality gain kept",
            _of(evaluation, "gap_recovered"),
            "of what the frontier model adds",
        ),
    )
    tiles = [_tile(name, as_percent(share), meaning) for name, share, meaning in shares]
    # Written as the shares are, whose interval stands in round brackets.
    quality = quality.replace("[", "(").replace(", ", " to ").replace("]", ")")
    return Tiles((*tiles, _tile("mean quality", quality, "from 0 to 1")))


def _tile(name: str, text: str, meaning: str) -> tuple[str, str, str]:
    """Return a tile: the value large, its interval with what it means."""
    value, _, interval = text.partition(" (")
    return name, value, f"{interval.rstrip(')')}: {meaning}" if interval else meaning


def _action(evaluation: Evaluation, extras: Extras) -> str:
    assert evaluation.threshold is not None
    share, fallback = _of(evaluation, "frontier_share"), _of(evaluation, "fallback_share")
    text = (
        f"A request whose difficulty score is above {threshold_text(evaluation.threshold)} goes to"
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
    avoided = complement(_of(evaluation, "frontier_share"))
    cost, saving = _of(evaluation, "cost"), _of(evaluation, "saving")
    calls = f"{as_percent(avoided)} of the first calls to {extras.frontier} are avoided."
    if cost.value is None:
        return f"{calls} What that is in money is unknown: {cost.note}."
    everything = _of_baseline(evaluation, "always_frontier", "cost")
    less = "" if saving.value is None else f": {as_percent(saving)} less"
    return (
        f"1,000 requests cost USD {as_text(cost)} instead of {as_text(everything)} with"
        f" {extras.frontier} for everything{less}. {calls}"
    )


def _quality(evaluation: Evaluation, extras: Extras) -> str:
    quality = _of(evaluation, "quality")
    if quality.value is None:
        return f"Unknown: {quality.note}. {_risk(evaluation, extras)}"
    frontier, cheap = (
        as_text(_of_baseline(evaluation, name, "quality"))
        for name in ("always_frontier", "always_cheap")
    )
    return (
        f"Mean quality is {as_text(quality)}. It would be {frontier} with {extras.frontier} for"
        f" everything and {cheap} with {extras.cheap} for everything. {_risk(evaluation, extras)}"
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
    counts, chosen = evaluation.counts, extras.chosen
    text = (
        f"Ranges in brackets hold the middle 95 % of {evaluation.n_draws:,} resamplings of"
        f" {counts['requests']:,} requests in {counts['groups']:,} groups. They say how sure a"
        " figure is on this traffic, not how it would move with next month's traffic or another"
        " training."
    )
    if chosen is None:
        return text
    expected = chosen.expected.get("frontier_share", _ABSENT)
    sent = "" if expected.value is None else f", where {as_percent(expected)} were sent"
    text += (
        f" The threshold was chosen on {chosen.n:,} other requests (objective"
        f" {chosen.objective}){sent}."
    )
    if chosen.guarantee:
        text += f" What is promised: {chosen.guarantee}."
    return f"{text} Review it by {chosen.review_date}."


def _order(evaluation: Evaluation) -> str:
    """Return how well the score orders requests."""
    for name, label in (("apgr", "APGR"), ("auroc", "AUROC")):
        figure = _of(evaluation, name)
        if figure.value is not None:
            return (
                f"The score orders requests {_above_half(figure)}: {label} {as_text(figure)}, where"
                " chance has 0.5."
            )
    return f"How well the score orders requests is unknown: {figure.note}."


def _above_half(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return "so far as one can tell without an interval"
    if estimate.low > 0.5:
        return "better than chance"
    return "worse than chance" if estimate.high < 0.5 else "not measurably better than chance"


def _warnings(evaluation: Evaluation) -> int:
    return sum(finding.severity == "warning" for finding in evaluation.findings)


def _of(evaluation: Evaluation, name: str) -> Estimate:
    return evaluation.overall.get(name, _ABSENT)


def _of_baseline(evaluation: Evaluation, baseline: str, name: str) -> Estimate:
    return evaluation.baselines.get(baseline, {}).get(name, _ABSENT)


def findings_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return a notice for each finding, the gravest first."""
    notices = [
        Notice(
            *_TONES[finding.severity], text=f"{finding.name.replace('_', ' ')}: {finding.message}"
        )
        for finding in evaluation.findings
    ]
    if all(finding.severity == "info" for finding in evaluation.findings):
        text = "The honesty checks that could be made found no error and nothing to warn of."
        notices.insert(0, Notice("good", "Nothing grave", text))
    notes = (note for note in (extras.note, *evaluation.notes) if note)
    return Section.of("findings", "Findings", *notices, *notes)
