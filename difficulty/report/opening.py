"""What a person who owns the budget has to know: what the threshold does, what it saves, what it
costs, how sure that is, and what speaks against it.

The verdict comes first, and is that of metrics.json. What is unknown is said to be unknown, with
the reason.
"""

from __future__ import annotations

from typing import Final

from difficulty.evaluation.findings import failing
from difficulty.evaluation.result import Evaluation
from difficulty.evaluation.verdict import ANSWERS, Answer, order_text, weigh
from difficulty.evaluation.words import as_percent, complement
from difficulty.records import Estimate
from difficulty.report.blocks import Block, Extras, Facts, Notice, Row, Section, Table, Tiles, Tone
from difficulty.report.wording import as_text, threshold_text

_ABSENT = Estimate(value=None, note="it was not evaluated")
_TONE_OF: Final[dict[Answer, Tone]] = {
    "switch_on": "good",
    "keep_testing": "warning",
    "do_not_switch_on": "error",
}
_TONES: Final[dict[str, tuple[Tone, str]]] = {
    "error": ("error", "Error"),
    "warning": ("warning", "Warning"),
    "info": ("info", "Note"),
}


def summary_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return the verdict, main figures, four sentences, and what was weighed; without a threshold
    what can be said.
    """
    certainty = ("How sure that is", _certainty(evaluation, extras))
    if evaluation.threshold is None:
        ranking = (
            f"{order_text(evaluation)} Share, quality and cost depend on a threshold: 'difficulty"
            " ship' chooses one, and the slider below shows them for any."
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
    return Section.of("summary", "Summary", verdict(evaluation), *blocks, _weighed(evaluation))


def verdict(evaluation: Evaluation) -> Notice:
    """Return the verdict as it stands in metrics.json; older files have none, so that it is weighed
    here, without the money.
    """
    said = evaluation.verdict or weigh(evaluation)
    return Notice(_TONE_OF[said.answer], said.word, said.told, lead=True)


def _weighed(evaluation: Evaluation) -> Table:
    """Return what was weighed, ground by ground."""
    said = evaluation.verdict or weigh(evaluation)
    rows = [
        Row(ground.name.replace("_", " "), (ANSWERS[ground.answer].lower(), ground.text))
        for ground in said.grounds
    ]
    return Table.of(
        "What was weighed; the gravest decides", ["ground", "says", "found"], rows, folded=True
    )


def _tiles(evaluation: Evaluation) -> Tiles:
    quality = _figure_text(_of(evaluation, "quality"))
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
    return Tiles((*tiles, _tile("mean quality", quality, "from 0 to 1")))


def _figure_text(estimate: Estimate) -> str:
    """Return a figure as the shares are written, its interval in round brackets."""
    return as_text(estimate).replace("[", "(").replace(", ", " to ").replace("]", ")")


def _tile(name: str, text: str, meaning: str) -> tuple[str, str, str]:
    """Return a tile: the value large, its interval with what it means."""
    value, _, interval = text.partition(" (")
    return name, value, f"{interval.rstrip(')')}: {meaning}" if interval else meaning


def _action(evaluation: Evaluation, extras: Extras) -> str:
    assert evaluation.threshold is not None
    share, fallback = _of(evaluation, "frontier_share"), _of(evaluation, "fallback_share")
    text = f"{_rule_text(evaluation, extras)} Of the judged requests {as_percent(share)} are sent."
    if (escalated := _of(evaluation, "escalated_share")).value is not None:
        text += (
            f" {as_percent(escalated)} are sent after {extras.cheap} has answered: both calls are"
            " paid."
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


def _rule_text(evaluation: Evaluation, extras: Extras) -> str:
    """Return what is compared with which threshold."""
    assert evaluation.threshold is not None
    score = threshold_text(evaluation.threshold)
    if _of(evaluation, "escalated_share").value is None:
        return (
            f"A request whose difficulty score is above {score} goes to {extras.frontier}, any"
            f" other stays on {extras.cheap}."
        )
    answer = evaluation.answer
    cut = (
        "" if answer is None or answer.threshold is None else f" {threshold_text(answer.threshold)}"
    )
    checked = (
        f"its answer is checked, and where the answer's score is above the threshold{cut}, the"
        f" request goes on to {extras.frontier}"
    )
    # No score is above 1.
    if evaluation.threshold >= 1.0:
        return f"{extras.cheap} answers every request that no rule sends; {checked}."
    return (
        f"A request whose difficulty score is above {score} goes to {extras.frontier};"
        f" {extras.cheap} answers any other, {checked}."
    )


def _saving(evaluation: Evaluation, extras: Extras) -> str:
    avoided = complement(_of(evaluation, "frontier_share"))
    cost, saving = _of(evaluation, "cost"), _of(evaluation, "saving")
    calls = f"{as_percent(avoided)} of the first calls to {extras.frontier} are avoided."
    if cost.value is None:
        return f"{calls} What that is in money is unknown: {cost.note}."
    everything = _of_baseline(evaluation, "always_frontier", "cost")
    less = "" if saving.value is None else f": {as_percent(saving)} less"
    return (
        f"1,000 requests cost USD {_figure_text(cost)} instead of {_figure_text(everything)} with"
        f" {extras.frontier} for everything{less}. {calls}"
    )


def _quality(evaluation: Evaluation, extras: Extras) -> str:
    quality = _of(evaluation, "quality")
    if quality.value is None:
        return f"Unknown: {quality.note}. {_risk(evaluation, extras)}"
    frontier, cheap = (
        _figure_text(_of_baseline(evaluation, name, "quality"))
        for name in ("always_frontier", "always_cheap")
    )
    return (
        f"Mean quality is {_figure_text(quality)}. It would be {frontier} with {extras.frontier}"
        f" for everything and {cheap} with {extras.cheap} for everything."
        f" {_risk(evaluation, extras)}"
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
        f"Ranges are 95 % confidence intervals from {counts['requests']:,} requests in"
        f" {counts['groups']:,} groups. They say how sure a figure is on this traffic, not how it"
        " would move with next month's traffic or another training."
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
    # Not "good": whether to switch on is the verdict's to say.
    clear = [] if failing(evaluation.findings) else ["No problems found."]
    notes = (note for note in (extras.note, *evaluation.notes) if note)
    return Section.of("findings", "Findings", *clear, *notices, *notes)
