"""What a person who owns the budget has to know, on one screen: the decision, three figures, before
and after, and what stands against it; then the same in sentences, and what was weighed.

The decision is that of metrics.json. What is unknown is said to be unknown, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from difficulty.evaluation.decision.order import order_text
from difficulty.evaluation.decision.remedies import explain_names, fill
from difficulty.evaluation.decision.stakes import Stakes
from difficulty.evaluation.findings import failing
from difficulty.evaluation.result import Evaluation
from difficulty.evaluation.verdict import (
    ANSWERS,
    Answer,
    Ground,
    SwitchVerdict,
    gains_briefly,
    weigh,
)
from difficulty.evaluation.words import UNKNOWN, as_percent, complement, usd
from difficulty.records import Estimate
from difficulty.report.blocks import (
    BeforeAfter,
    Block,
    Extras,
    Facts,
    FirstScreen,
    LargeFigure,
    Notice,
    Remark,
    Row,
    Section,
    Table,
    Tone,
    Turned,
    TypedVolume,
    When,
)
from difficulty.report.wording import (
    bare_percent,
    figure_text,
    no_range_lines,
    threshold_short,
    with_ranges,
)
from difficulty.text import quantity_text

_ABSENT = Estimate(value=None, note="it was not evaluated")
TONE_OF: Final[dict[Answer, Tone]] = {
    "switch_on": "good",
    "keep_testing": "warning",
    "do_not_switch_on": "error",
}
_TONES: Final[dict[str, tuple[Tone, str]]] = {
    "error": ("error", "Error"),
    "warning": ("warning", "Warning"),
    "info": ("info", "Note"),
}
_EXAMPLE_VOLUME: Final = 1_000_000.0
_MOST_REMARKS: Final = 1
_JUDGED_THERE: Final = (
    "difficulty evaluate BUNDLE TRAFFIC --prices prices.toml --requests-per-month N -o priced"
)
_LONGEST_REASON: Final = 90
"""Characters of a reason that has no short form."""
_WAYS: Final = {"always_cheap": "All cheap", "": "Routed", "always_frontier": "All frontier"}


def verdict_of(evaluation: Evaluation) -> SwitchVerdict:
    """Return the decision as it stands in metrics.json; older files have none, so that it is
    weighed here, without the money.
    """
    return evaluation.verdict or weigh(evaluation)


def decision_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return the first screen."""
    said = verdict_of(evaluation)
    stakes = said.stakes or Stakes.of(evaluation)
    volume = _volume(stakes, extras.economics)
    first, *others = _reasons(said)
    screen = FirstScreen(
        tone=TONE_OF[said.answer],
        word=said.word,
        why=first.text,
        command=_filled(first.command, extras),
        money=_money(stakes, volume),
        volume=volume,
        figures=tuple(_of_100(stakes)),
        strip=tuple(_strip(evaluation)),
        # One command is enough for a screen: the others stand under the findings.
        remarks=tuple(
            Remark(remark.text, "" if first.command else _filled(remark.command, extras))
            for remark in others[:_MOST_REMARKS]
        ),
        more=max(0, len(others) - _MOST_REMARKS),
        turned=tuple(_turned_by_volume(evaluation, said, stakes, extras.economics)),
        command_there=_filled(_JUDGED_THERE, extras),
    )
    return Section.of("decision", "Decision", screen)


def _reasons(said: SwitchVerdict) -> list[Remark]:
    """Return the reason of the decision in few words, then what else there is to be said."""
    against = [Remark(_brief(ground), ground.command) for ground in said.against]
    if said.answer == "switch_on":
        # Where all says yes, something may still be unknown.
        open_points = [
            Remark(_brief(ground), ground.command) for ground in said.grounds if ground.brief
        ]
        reason = Remark(said.brief or _shorten(said.sentence))
        return [reason, *(open_points or [Remark("Nothing weighed stands against it.")])]
    return against or [Remark(_shorten(said.sentence))]


def _turned_by_volume(
    evaluation: Evaluation, said: SwitchVerdict, stakes: Stakes, economics: Mapping[str, Any] | None
) -> Iterator[Turned]:
    """Yield what is decided at another volume: the money is weighed there, all else stays.

    Nothing where the money does not come to its end by the volume: there another volume is no
    reason for another decision.
    """
    if said.money is None or not _hosted(economics) or economics is None:
        return
    if any(_holds(condition) for condition in economics["conditions"]):
        return
    others = [ground for ground in said.grounds if ground.name != "money"]
    first = others[0] if others else None
    if first is None or first.answer == "switch_on":
        kept = evaluation.overall.get("gap_recovered", _ABSENT)
        paid: tuple[Answer, str] = "switch_on", gains_briefly(kept)
    else:
        paid = first.answer, _brief(first)
    known = stakes.requests_per_month.value
    judged = (
        "no volume was given"
        if known is None
        else f"at {quantity_text(known, 'request')}: {said.word.lower()}"
    )
    # What stands against it all the same is no less true where it does not pay.
    stays = paid[0] == "do_not_switch_on"
    unsure: Answer = paid[0] if stays else "keep_testing"
    turns: tuple[tuple[When, Answer, str], ...] = (
        ("pays", paid[0], f"It pays at this volume. {paid[1]}"),
        ("unsure", unsure, "Whether it pays here is not sure."),
        ("loses", "do_not_switch_on", "It does not pay at this volume."),
    )
    for when, answer, why in turns:
        yield Turned(when, TONE_OF[answer], ANSWERS[answer], f"{why} (Judged {judged}.)")


def _holds(condition: Mapping[str, Any]) -> bool:
    return bool(condition["state"] == "holds" and condition["name"] != "low_volume")


def _brief(ground: Ground) -> str:
    return ground.brief or _shorten(ground.text)


def _shorten(text: str) -> str:
    """Return the first sentence of a reason, cut where it is long: the whole stands below."""
    first = text.partition(". ")[0]
    if len(first) <= _LONGEST_REASON:
        return f"{first.rstrip('.')}."
    return f"{first[:_LONGEST_REASON].rpartition(' ')[0]} \u2026"


def _filled(command: str, extras: Extras) -> str:
    models = {"CHEAP": extras.cheap_model or "", "FRONTIER": extras.frontier_model or ""}
    return fill(command, {**models, **extras.places})


def _volume(stakes: Stakes, economics: Mapping[str, Any] | None) -> TypedVolume | None:
    """Return what is saved by requests a month; nothing where no saving is known."""
    month, known = stakes.usd_per_month, stakes.requests_per_month.value
    start = _EXAMPLE_VOLUME if known is None else known
    points = _hosted(economics) if stakes.is_net or known is None else []
    goes_on = bool(points and economics and economics["plot"].get("far_volumes"))
    saved = stakes.saved_cost
    if not points and saved.value is not None:
        low, high = (None if end is None else 1000.0 * end for end in (saved.low, saved.high))
        points = [(0.0, 0.0, 0.0, 0.0), (1e6, 1000.0 * saved.value, low, high)]
        goes_on = True
    if not points:
        return None
    if month.value is not None and known is not None and stakes.is_net:
        # The figure of the decision itself, to the last digit.
        points = [point for point in points if point[0] != known]
        points = sorted([*points, (known, month.value, month.low, month.high)])
    if known is None and not goes_on:
        start = min(start, points[-1][0])
    return TypedVolume(start, known is None, tuple(points), goes_on)


def _hosted(economics: Mapping[str, Any] | None) -> list[tuple[float, Any, Any, Any]]:
    """Return the points of the way to host that the economics are about."""
    if economics is None or economics["plot"]["measure"] != "net_saving":
        return []
    plotted, shape = economics["plot"], economics["verdict"]["shape"]
    points: list[tuple[float, Any, Any, Any]] = []
    for reach in ("", "far_"):
        # Files of earlier versions end where the picture ends.
        curve = plotted.get(f"{reach}curves", {}).get(shape)
        if curve is not None:
            columns = (curve["value"], curve["low"], curve["high"])
            points += zip(plotted[f"{reach}volumes"], *columns, strict=True)
    return [point for point in points if point[1] is not None]


def _money(stakes: Stakes, volume: TypedVolume | None) -> LargeFigure:
    figure = stakes.usd_per_month
    if figure.value is None and volume is not None:
        value, low, high = saved_at(volume, volume.start)
        figure = Estimate(value=value, low=low, high=high)
    if figure.value is None:
        return LargeFigure(UNKNOWN, "", f"saved a month: {_why(figure, stakes)}", False)
    lost = figure.value < 0.0
    amount, _, ends = usd(_turned(figure) if lost else figure).partition(" (")
    kind = "net" if stakes.is_net else "before upkeep"
    return LargeFigure(amount, ends.rstrip(")"), f"{'lost' if lost else 'saved'} a month, {kind}")


def _why(figure: Estimate, stakes: Stakes) -> str:
    if stakes.saved_cost.value is None:
        return "pass --prices, with token counts in the traffic"
    return figure.note


def saved_at(
    volume: TypedVolume, requests: float
) -> tuple[float | None, float | None, float | None]:
    """Return USD a month, low and high at a volume; the script of the page reckons the same."""
    points = volume.points
    after = next((n for n, point in enumerate(points) if point[0] >= requests), None)
    if after is None:
        if not volume.goes_on:
            return None, None, None
        after = len(points) - 1
    left, right = points[max(0, after - 1)], points[after]
    width = right[0] - left[0]
    part = 0.0 if width == 0.0 else (requests - left[0]) / width

    def between(place: int) -> float | None:
        low, high = left[place], right[place]
        return None if low is None or high is None else low + part * (high - low)

    return between(1), between(2), between(3)


def _turned(estimate: Estimate) -> Estimate:
    low, high = (None if end is None else -end for end in (estimate.high, estimate.low))
    return Estimate(value=-(estimate.value or 0.0), low=low, high=high, n=estimate.n)


def _of_100(stakes: Stakes) -> Iterator[LargeFigure]:
    """Yield the figures that are counted of 100 answers or calls."""
    for estimate, meaning in (
        (stakes.answers_worse, "of 100 answers get worse"),
        (stakes.calls_avoided, "of 100 frontier calls avoided"),
    ):
        if estimate.value is None:
            yield LargeFigure(UNKNOWN, "", f"{meaning}: {estimate.note}", False)
            continue
        value, _, ends = as_percent(estimate).partition(" % (")
        yield LargeFigure(value.removesuffix(" %"), ends.rstrip(")"), meaning)


def _strip(evaluation: Evaluation) -> Iterator[BeforeAfter]:
    """Yield cost and quality with everything on one model, and routed; nothing where neither is
    known of the routing.
    """
    of = {
        name: evaluation.baselines.get(name, {}) if name else evaluation.overall for name in _WAYS
    }
    costs = [part.get("cost", _ABSENT).value for part in of.values()]
    longest = max([cost for cost in costs if cost is not None], default=0.0)
    for name, title in _WAYS.items():
        cost, quality = of[name].get("cost", _ABSENT), of[name].get("quality", _ABSENT)
        if cost.value is None and quality.value is None:
            continue
        yield strip_row(title, cost, quality, longest=longest, strong=not name)


def strip_row(
    name: str, cost: Estimate, quality: Estimate, *, longest: float, strong: bool
) -> BeforeAfter:
    """Return a row of a before-and-after strip; ``longest`` is the largest cost of its rows."""
    return BeforeAfter(
        name,
        figure_text("cost", cost).partition(" (")[0],
        None if cost.value is None or longest <= 0.0 else cost.value / longest,
        bare_percent(quality),
        quality.value,
        strong=strong,
    )


def words_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return what the threshold does, saves and costs in sentences; without a threshold what can be
    judged.
    """
    certainty = ("How sure that is", _certainty(evaluation, extras))
    if evaluation.threshold is None:
        ranking = (
            f"{order_text(evaluation.overall)} Share, quality and cost depend on a threshold:"
            " 'difficulty ship' chooses one, and the curve shows them for any."
        )
        facts = [("What can be judged", ranking), certainty]
    else:
        facts = [
            ("What the threshold does", _action(evaluation, extras)),
            ("What it saves", _saving(evaluation, extras)),
            ("What it costs in quality", _quality(evaluation, extras)),
            *(
                [("Whether the aim is kept", aim.text)]
                if (aim := verdict_of(evaluation).aim)
                else []
            ),
            certainty,
        ]
    return Section.of("words", "What it does", Facts(tuple(facts)), short="Behaviour")


def weighed(evaluation: Evaluation, extras: Extras) -> Table:
    """Return what was weighed, ground by ground, and the commands that mend it."""
    grounds = verdict_of(evaluation).grounds
    mending = any(ground.command for ground in grounds)

    def cells(ground: Ground) -> tuple[str, ...]:
        told = (ground.says, _whole(ground))
        return (*told, _filled(ground.command, extras)) if mending else told

    rows = [Row(ground.name.replace("_", " "), cells(ground)) for ground in grounds]
    columns = ["ground", "says", "found", *(["what mends it"] if mending else [])]
    return Table.of("What was weighed; the gravest decides", columns, rows)


def _whole(ground: Ground) -> str:
    """Return what was found and what would change it; a finding says its own remedy."""
    own = ground.name in ("quality", "promise", "money", "objective")
    return f"{ground.text} {ground.lever}".strip() if own else ground.text


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
    score = threshold_short(evaluation.threshold)
    if _of(evaluation, "escalated_share").value is None:
        return (
            f"A request whose difficulty score is above {score} goes to {extras.frontier}, any"
            f" other stays on {extras.cheap}."
        )
    answer = evaluation.answer
    cut = (
        ""
        if answer is None or answer.threshold is None
        else f" {threshold_short(answer.threshold)}"
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
        f"1,000 requests cost {usd(cost)} instead of {usd(everything)} with"
        f" {extras.frontier} for everything{less}. {calls}"
    )


def _quality(evaluation: Evaluation, extras: Extras) -> str:
    quality = _of(evaluation, "quality")
    if quality.value is None:
        return f"Unknown: {quality.note}. {_risk(evaluation, extras)}"
    frontier, cheap = (
        as_percent(_of_baseline(evaluation, name, "quality"))
        for name in ("always_frontier", "always_cheap")
    )
    return (
        f"Mean quality is {as_percent(quality)}. It would be {frontier} with {extras.frontier}"
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
        "Ranges are 95 % confidence intervals from"
        f" {quantity_text(counts['requests'], 'request')} in"
        f" {quantity_text(counts['groups'], 'group')}. They say how sure a figure is on this"
        " traffic, not how it"
        " would move with next month's traffic or another training."
    )
    if chosen is None:
        return text
    expected = chosen.expected.get("frontier_share", _ABSENT)
    sent = "" if expected.value is None else f", where {as_percent(expected)} were sent"
    text += (
        f" The threshold was chosen on {quantity_text(chosen.n, 'other request')} (objective"
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
    """Return what was weighed and a notice for each finding, the gravest first."""
    notices = [
        Notice(
            *_TONES[finding.severity], text=f"{finding.name.replace('_', ' ')}: {finding.message}"
        )
        for finding in evaluation.findings
    ]
    # Not "good": whether to switch on is the decision's to say.
    clear: Sequence[str] = [] if failing(evaluation.findings) else ["No problems found."]
    said = (extras.note, *evaluation.notes, *no_range_lines(with_ranges(evaluation.overall)))
    notes = (f"{note[:1].upper()}{note[1:]}" for note in said if note)
    grounds = verdict_of(evaluation).grounds
    names = explain_names(*(_filled(ground.command, extras) for ground in grounds))
    named = [f"In these commands {names}."] if names else []
    blocks: list[Block | str] = [*clear, *notices, weighed(evaluation, extras), *named, *notes]
    return Section.of("findings", "Findings", *blocks, part="For builders")
