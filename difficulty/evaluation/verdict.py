"""The one verdict on an evaluation: switch the router on, keep testing, or do not, with the
grounds, the money, and the lever: what would change it.

It is worked out here once, written to ``metrics.json``, and shown and obeyed everywhere else.
Every ground says how far it lets one go; the least decides. To weigh something else, write a
function of :class:`_Weighing` and add it to ``_GROUNDS``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from difficulty.evaluation.decision.aim import Aim
from difficulty.evaluation.decision.finding import Finding
from difficulty.evaluation.decision.money_case import MoneyCase
from difficulty.evaluation.decision.order import CHANCE, order_text
from difficulty.evaluation.decision.remedies import remedy_of
from difficulty.evaluation.decision.stakes import Stakes
from difficulty.evaluation.words import as_percent, complement, usd
from difficulty.form import Record
from difficulty.records import Estimate
from difficulty.text import quantity_text

if TYPE_CHECKING:
    from difficulty.evaluation.result import Evaluation

Answer = Literal["do_not_switch_on", "keep_testing", "switch_on"]
ANSWERS: Final[Mapping[Answer, str]] = {
    "do_not_switch_on": "Do not switch on",
    "keep_testing": "Keep testing",
    "switch_on": "Switch on",
}
"""Answers as people read them, the gravest first."""
# An interval that ends below it has room for no lead that is worth a router.
_LITTLE = 0.05
_ABSENT = Estimate(value=None, note="it was not evaluated")
# They tell what was put right, so figures hold; ``--strict`` stops at them all the same.
_CAVEATS = ("training_overlap",)
_CHOSEN_HERE = "threshold_on_judged_data"
_THIN = ("few_samples", "no_signal")
_LABEL_FIRST = "Label more requests first: so few tell no threshold or rule from another."
_WITHOUT_RULE = "Ship without the rule (--no-rule)"
_UNKNOWNS = ("unpriced", "uncounted")
"""Remedies of what is not known, and stops nobody."""
_OWN_GROUNDS = ("quality", "promise", "money", "objective")
"""Names of grounds that are no findings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground(Record):
    """One thing that was weighed."""

    name: str
    """``quality``, ``promise``, ``money``, or the name of a finding."""
    answer: Answer
    """How far it lets one go."""
    text: str
    """What was found, with its numbers."""
    lever: str = ""
    """What would change it; empty where nothing has to."""
    brief: str = ""
    """The same as ``text`` in a few words."""
    command: str = ""
    """What to type; empty where no command mends it. Names in capitals are the user's."""

    @property
    def says(self) -> str:
        """What it says, as people read it: what is not known says neither yes nor no."""
        if self.answer != "switch_on":
            return ANSWERS[self.answer].lower()
        if self.brief in {remedy_of(name).brief for name in _UNKNOWNS}:
            return "not known"
        return "nothing against it, with a remark" if self.lever else ANSWERS[self.answer].lower()

    @classmethod
    def about(
        cls,
        name: str,
        answer: Answer,
        text: str,
        lever: str = "",
        *,
        remedy: str = "",
        brief: str = "",
    ) -> Self:
        """Return a ground with the short reason and the command of a remedy."""
        known = remedy_of(remedy) if remedy else None
        return cls(
            name=name,
            answer=answer,
            text=text,
            lever=lever,
            brief=brief or (known.brief if known else ""),
            command=known.command if known else "",
        )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SwitchVerdict(Record):
    """The verdict, and what it rests on."""

    answer: Answer
    sentence: str
    """Why, in one or two sentences."""
    lever: str
    """What would change it; where the answer is to switch on, what is still to be told."""
    grounds: tuple[Ground, ...]
    """All that was weighed, the gravest first."""
    money: MoneyCase | None = None
    """``None`` where the economics were not looked at."""
    stakes: Stakes | None = None
    """The three figures that it is about; ``None`` in files of earlier versions."""
    brief: str = ""
    """Why, in a few words; a longer reason is ``sentence``."""
    aim: Aim | None = None
    """What became of the objective; ``None`` where it names no figure, or is not known."""

    @property
    def against(self) -> tuple[Ground, ...]:
        """What stands against switching on, the gravest first, each reason once."""
        against = {
            ground.brief or ground.text: ground
            for ground in reversed(self.grounds)
            if ground.answer != "switch_on"
        }
        return tuple(reversed(against.values()))

    @property
    def word(self) -> str:
        """The answer as people read it."""
        return ANSWERS[self.answer]

    @property
    def told(self) -> str:
        """Reason and lever as people read them; a finding says its own remedy."""
        own = self.grounds and self.grounds[0].name not in (*_OWN_GROUNDS, "")
        lever = "" if own and self.answer != "switch_on" else self.lever
        return f"{self.sentence} {lever}".strip()

    @property
    def tags(self) -> dict[str, str]:
        """Answer and reason as registries and trackers keep them."""
        return {"verdict": self.answer, "verdict_reason": self.sentence}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Return the verdict that :meth:`as_dict` wrote."""
        fields = ("name", "answer", "text", "lever", "brief", "command")
        stakes = content.get("stakes")
        return cls(
            answer=content["answer"],
            sentence=content["sentence"],
            lever=content["lever"],
            grounds=tuple(
                Ground(**{field: ground[field] for field in fields if field in ground})
                for ground in content["grounds"]
            ),
            money=MoneyCase.from_dict(content["money"]) if content.get("money") else None,
            stakes=Stakes.from_dict(stakes) if stakes else None,
            brief=content.get("brief", ""),
            aim=Aim.from_dict(content["aim"]) if content.get("aim") else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weighing:
    """What is weighed."""

    evaluation: Evaluation
    objective: str
    """Of the policy, as the user wrote it; empty where that is not known."""
    guarantee: str | None
    money: MoneyCase | None
    aim: Aim | None

    def figure(self, name: str) -> Estimate:
        return self.evaluation.overall.get(name, _ABSENT)

    def of_baseline(self, baseline: str, name: str) -> Estimate:
        return self.evaluation.baselines.get(baseline, {}).get(name, _ABSENT)

    @property
    def is_thin(self) -> bool:
        """Whether there is too little to choose a threshold or a rule by."""
        return any(finding.name in _THIN for finding in self.evaluation.findings)

    @property
    def frontier(self) -> str:
        return self.evaluation.lineage.get("frontier_model") or "the frontier model"

    @property
    def cheap(self) -> str:
        return self.evaluation.lineage.get("cheap_model") or "the cheap model"


def weigh(
    evaluation: Evaluation,
    *,
    objective: str = "",
    guarantee: str | None = None,
    money: MoneyCase | None = None,
    expected: Mapping[str, Estimate] | None = None,
) -> SwitchVerdict:
    """Return the verdict on an evaluation.

    Parameters
    ----------
    evaluation : Evaluation
        With its findings and lineage; what ``verdict`` it holds is not read.
    objective : str
        How the threshold was chosen, as the user wrote it: ``risk=0.2``.
    guarantee : str or None
        What is promised of the policy.
    money : MoneyCase or None
        What the economics say of the policy, where prices and the cost to keep it are known.
    expected : mapping of str to Estimate, optional
        Figures of the requests that the threshold was chosen on.
    """
    aim = Aim.of(objective, evaluation.overall, expected or {}, target=evaluation.target)
    case = _Weighing(
        evaluation=evaluation, objective=objective, guarantee=guarantee, money=money, aim=aim
    )
    grounds = [ground for weighing in _GROUNDS for ground in weighing(case)]
    order = list(ANSWERS)
    # sorted is stable: of equal answers the first of _GROUNDS speaks.
    grounds.sort(key=lambda ground: order.index(ground.answer))
    first = grounds[0]
    on = first.answer == "switch_on"
    return SwitchVerdict(
        answer=first.answer,
        sentence=_gains(case) if on else first.text,
        # Where all says yes, something may still be unknown.
        lever=next((ground.lever for ground in grounds if ground.lever), "") if on else first.lever,
        grounds=tuple(grounds),
        money=money,
        stakes=Stakes.of(
            evaluation,
            net_saving=money.net_saving if money else None,
            requests_per_month=money.requests_per_month if money else None,
        ),
        brief=gains_briefly(case.figure("gap_recovered")) if on else first.brief,
        aim=aim,
    )


def _grave(case: _Weighing) -> Iterator[Ground]:
    """What makes the figures mislead, or the score useless."""
    for finding in case.evaluation.findings:
        if finding.severity == "error" and finding.name != _CHOSEN_HERE:
            yield _ground_of(finding, "do_not_switch_on" if _is_final(finding) else "keep_testing")


def _chosen_here(case: _Weighing) -> Iterator[Ground]:
    """That the judged requests chose the threshold; last, as what the figures say against it all
    the same is the graver news.
    """
    for finding in case.evaluation.findings:
        if finding.name == _CHOSEN_HERE:
            yield _ground_of(finding, "keep_testing")


def _is_final(finding: Finding) -> bool:
    """Return whether an error speaks against the router, rather than against the evidence."""
    if finding.name == "no_signal":
        return finding.numbers.get("high", math.inf) < CHANCE + _LITTLE
    return finding.name in ("equal_scores", "frontier_not_better", "losing_rule")


def _doubts(case: _Weighing) -> Iterator[Ground]:
    for finding in case.evaluation.findings:
        if finding.severity == "warning":
            caveat = finding.name in _CAVEATS
            yield _ground_of(finding, "switch_on" if caveat else "keep_testing")


def _ground_of(finding: Finding, answer: Answer) -> Ground:
    lever = finding.advice or "The finding says what to do."
    return Ground.about(finding.name, answer, finding.message, lever, remedy=finding.name)


def _quality(case: _Weighing) -> Iterator[Ground]:
    """The answers against those of random routing: at the same share, and for the same money."""
    recovered, ahead = (
        case.figure("gap_recovered"),
        case.of_baseline("random", "quality_difference"),
    )

    def ground(answer: Answer, text: str, lever: str = "", *, remedy: str = "") -> Ground:
        # The rule's own lever names its own command.
        remedy = "rule_loses" if lever.startswith(_WITHOUT_RULE) else remedy
        return Ground.about("quality", answer, text, lever, remedy=remedy)

    if case.evaluation.threshold is None:
        lever = "'difficulty ship' chooses a threshold."
        text = f"No threshold has been chosen. {order_text(case.evaluation.overall)}"
        yield ground("keep_testing", text, lever, remedy="no_threshold")
    elif recovered.value is None:
        why = f"{recovered.note[:1].upper()}{recovered.note[1:]}"
        order = order_text(case.evaluation.overall)
        text = f"What routing does to quality is not known. {why}. {order}"
        yield ground(
            "keep_testing", text, "Label answers of both models.", remedy="quality_unknown"
        )
    elif ahead.high is not None and ahead.high < 0.0:
        text = f"Routing is worse than chance. {_against_chance(ahead)}"
        yield ground("do_not_switch_on", text, _other_rule(case), remedy="worse_than_chance")
    elif ahead.value is not None and (ahead.low is None or ahead.low <= 0.0):
        text = f"Routing is not shown to beat chance. {_against_chance(ahead)}"
        lever, labels_help = _more_labels(ahead, is_thin=case.is_thin)
        remedy = "lead_unsure" if labels_help else "lead_small"
        yield ground("keep_testing", text, lever, remedy=remedy)
    elif (at_random := _kept_at_random_for(case, case.figure("cost").value)) is not None and (
        recovered.low is None or recovered.low <= at_random
    ):
        # The cost is not sure either: at its lower end the same money keeps least.
        least = _kept_at_random_for(case, case.figure("cost").low)
        worse = recovered.high is not None and least is not None and recovered.high < least
        what = "Routing loses to chance" if worse else "Routing is not shown to beat chance"
        text = (
            f"{what} for its money: the answers keep {as_percent(recovered)} of the quality that"
            f" {case.frontier} would add; spent on requests picked at random, the same money would"
            f" keep about {100.0 * at_random:.1f} %."
        )
        answer: Answer = "do_not_switch_on" if worse else "keep_testing"
        if case.is_thin and not worse:
            yield ground(answer, text, _LABEL_FIRST, remedy="money_unsure_of_few")
        else:
            remedy = "poor_for_money" if worse else "money_unsure"
            yield ground(answer, text, _other_rule(case), remedy=remedy)
    else:
        yield ground("switch_on", _balance(case, ahead, at_random))


def _balance(case: _Weighing, ahead: Estimate, at_random: float | None) -> str:
    text = (
        f"{as_percent(complement(case.figure('frontier_share')))} of the requests stay on"
        f" {case.cheap}, and the answers keep {as_percent(case.figure('gap_recovered'))} of the"
        f" quality that {case.frontier} would add if it answered everything."
    )
    if ahead.value is not None:
        text += f" {_against_chance(ahead)}"
    if at_random is not None:
        text += (
            " Spent on requests picked at random, the same money would keep about"
            f" {100.0 * at_random:.1f} % of it."
        )
    return text


def _kept_at_random_for(case: _Weighing, cost: float | None) -> float | None:
    """Return the share of the gain that random routing of this cost keeps."""
    # Cost and gain of random routing both grow evenly with the share that it sends.
    least = case.of_baseline("always_cheap", "cost").value
    most = case.of_baseline("always_frontier", "cost").value
    if cost is None or least is None or most is None or most <= least:
        return None
    # No share of random routing costs less than all cheap, or more than all frontier.
    return min(1.0, max(0.0, (cost - least) / (most - least)))


def _against_chance(ahead: Estimate) -> str:
    direction = "higher" if (ahead.value or 0.0) >= 0.0 else "lower"
    return (
        f"Mean quality is {direction} by {_size(ahead)} than when the same share is sent at random."
    )


def _size(estimate: Estimate) -> str:
    """Return a difference without its sign, its interval turned round where it was negative."""
    return as_percent(_turned(estimate) if (estimate.value or 0.0) < 0.0 else estimate)


def _more_labels(lead: Estimate, *, is_thin: bool) -> tuple[str, bool]:
    """Say how many requests would show a lead, if it is as large as it looks, and whether labels
    help at all.
    """
    value, low = lead.value or 0.0, lead.low or 0.0
    if is_thin and (value <= 0.0 or lead.low is None):
        return _LABEL_FIRST, True
    if value <= 0.0:
        return "Choose another threshold or rule: more labels alone promise little.", False
    # The interval narrows with the root of their number.
    needed = lead.n * ((value - low) / value) ** 2
    if needed > 1e6:
        return "Choose another threshold or rule: the lead is too small for labels to show.", False
    more = (
        f"About {quantity_text(max(needed, lead.n + 1), 'labelled request')} would show a"
        " lead of this size."
    )
    return more, True


def _other_rule(case: _Weighing) -> str:
    """Name the rule where the score alone does better at the same share, else the threshold."""
    quality, share = case.figure("quality").value, case.figure("frontier_share").value
    alone = case.evaluation.baseline_curves.get("score", {})
    shares, qualities = alone.get("frontier_share", ()), alone.get("quality", ())
    if quality is not None and share is not None and shares and len(shares) == len(qualities):
        at = min(range(len(shares)), key=lambda place: abs(shares[place] - share))
        if qualities[at] is not None and qualities[at] > quality:
            return (
                f"{_WITHOUT_RULE}: the score alone has quality"
                f" {qualities[at]:.3f} at this share, with the rule it is {quality:.3f}."
            )
    return "Choose another threshold, or change which tasks the rule keeps and sends."


def _promise(case: _Weighing) -> Iterator[Ground]:
    """What is promised of the kept requests, against what was measured here."""
    name, _, number = case.objective.partition(",")[0].partition("=")
    if name not in ("risk", "missed"):
        return
    measured = case.figure("risk") if name == "risk" else _missed(case)
    if case.guarantee is None:
        yield Ground.about(
            remedy="promise_missing",
            name="promise",
            answer="keep_testing",
            text=f"The objective {case.objective} asks for a promise, and none could be given.",
            lever="Label more requests for the threshold, or allow a higher level.",
        )
    elif missed := _tasks_above(case, name, _number(number)):
        yield Ground.about(
            remedy="promise_broken",
            name="promise",
            answer="keep_testing",
            text=f"The promise does not hold here in {missed}: it is made of each task by itself.",
            lever="Choose the threshold again on traffic like this (difficulty thresholds).",
        )
    elif measured.value is not None and measured.value > (level := _number(number)):
        broken = measured.low is not None and measured.low > level
        what = "does not hold here" if broken else "is not confirmed here"
        yield Ground.about(
            remedy="promise_broken" if broken else "promise_unsure",
            name="promise",
            answer="do_not_switch_on" if broken else "keep_testing",
            text=(
                f"The promise {what}: {name} at most {100.0 * level:g} %, measured"
                f" {as_percent(measured)}."
            ),
            lever="Choose the threshold again on traffic like this (difficulty thresholds)."
            if broken
            else "Label more requests.",
        )
    else:
        yield Ground(name="promise", answer="switch_on", text=f"Promised: {case.guarantee}.")


def _missed(case: _Weighing) -> Estimate:
    """Return the share of the kept requests that needed the frontier model."""
    if case.evaluation.target != "benefit":
        return _ABSENT  # there a request "needed" it where the cheap model failed
    kept_rightly = case.figure("cheap_route_precision")
    return kept_rightly if kept_rightly.value is None else complement(kept_rightly)


def _tasks_above(case: _Weighing, name: str, level: float) -> str:
    """Return the tasks in which a promise per task is clearly broken, with what was measured."""
    if not case.objective.endswith(" per task"):
        return ""
    above = [
        f"{task!r} ({name} {as_percent(figures[name])})"
        for task, figures in case.evaluation.slices.get("task", {}).items()
        if name in figures and (low := figures[name].low) is not None and low > level
    ]
    return ", ".join(above[:5]) + (f" and {len(above) - 5} more" if len(above) > 5 else "")


def _number(text: str) -> float:
    try:
        # "0.2 per task": the number alone.
        return float(text.partition(" ")[0])
    except ValueError:
        return math.inf


def _objective(case: _Weighing) -> Iterator[Ground]:
    """An aim that is missed by more than chance explains; what is promised is weighed above."""
    if case.aim is None or case.aim.state != "missed" or case.guarantee is not None:
        return
    more_sent = case.aim.objective.startswith("share=")
    yield Ground.about(
        remedy="more_sent" if more_sent else "aim_missed",
        name="objective",
        answer="switch_on",
        text=case.aim.text,
        lever="Choose the threshold again on traffic like this.",
    )


def _money(case: _Weighing) -> Iterator[Ground]:
    """What it saves, against what it costs to keep where that is known."""
    if case.money is None:
        yield _bill(case)
        return
    text = case.money.sentence
    if case.money.answer == "build":
        yield Ground(name="money", answer="switch_on", text=text)
        return
    answer: Answer = "do_not_switch_on" if case.money.answer == "wait" else "keep_testing"
    yield Ground.about(
        "money", answer, text, case.money.lever, remedy=case.money.remedy, brief=case.money.brief
    )


def _bill(case: _Weighing) -> Ground:
    """The bill of the models alone: nobody said what it costs to keep the router."""
    saving = case.figure("saving")
    if saving.value is None:
        return Ground.about(
            remedy="unpriced",
            name="money",
            answer="switch_on",
            text=f"What it saves is not known: {saving.note or 'no prices were given'}.",
            lever="Pass --prices; the traffic needs prompt_tokens, cheap_tokens and"
            " frontier_tokens.",
        )
    moves = f"falls by {as_percent(saving)}"
    if (saving.value or 0.0) < 0.0:
        moves = f"rises by {as_percent(_turned(saving))}"
    text = f"The bill of both models {moves}; what it costs to keep the router is not in it."
    if saving.low is not None and saving.low > 0.0:
        return Ground(name="money", answer="switch_on", text=text)
    dearer = saving.high is not None and saving.high <= 0.0
    return Ground.about(
        remedy="bill_rises" if dearer else "bill_unsure",
        name="money",
        answer="do_not_switch_on" if dearer else "keep_testing",
        text=text,
        lever="Keep more requests on the cheap model, or have fewer answers made twice.",
    )


def _turned(estimate: Estimate) -> Estimate:
    """Return an estimate with the other sign."""
    value, low, high = (
        None if part is None else -part for part in (estimate.value, estimate.high, estimate.low)
    )
    return replace(estimate, value=value, low=low, high=high)


def _gains(case: _Weighing) -> str:
    """Say in a sentence what switching on brings."""
    stays, kept = complement(case.figure("frontier_share")), case.figure("gap_recovered")
    text = (
        f"{as_percent(stays)} of the requests stay on {case.cheap} and the answers keep"
        f" {as_percent(kept)} of the quality that {case.frontier} would add"
    )
    if case.money is not None and case.money.net_saving.value is not None:
        return f"{text}; that saves {usd(case.money.net_saving)} a month after the cost to keep it."
    saving = case.figure("saving")
    if saving.value is None:
        return f"{text}; what that saves is not known."
    return f"{text}; that saves {as_percent(saving)} of the bill, before the cost to keep it."


def gains_briefly(kept: Estimate) -> str:
    """Say in few words what switching on brings; ``kept`` is ``gap_recovered``."""
    return f"Keeps {as_percent(kept)} of what the frontier model adds."


_GROUNDS: Final[tuple[Callable[[_Weighing], Iterator[Ground]], ...]] = (
    _grave,
    _quality,
    _promise,
    _money,
    _doubts,
    _objective,
    _chosen_here,
)
