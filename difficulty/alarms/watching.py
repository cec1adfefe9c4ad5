"""The alarms of a log: at most one false one in 20 quiet quarters, over all of them together.

Each watcher has a part of the rate, by its weight, and its alarm rises at the first look at which
its evidence is 1 / (its part): by Ville's inequality and the union bound the chance that any does
in a quiet quarter is at most the rate, however often one looks. A part whose watcher has nothing to
watch is not handed on, so that an alarm does not depend on what else is logged.

A quarter is 91 days after the reference; then all begins again, with the same reference. What rests
on the bundle alone is watched from the first day, in the first quarter. An alarm that stood when a
quarter ended stands for four more weeks, so that it does not fall silent unanswered; evidence that
goes on raises it anew.

That a model was called by another name is read, not inferred: it takes no part of the rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from difficulty.alarms.alarm import CERTAIN, Alarm, Flood, Promises, capped, odds_in_words
from difficulty.alarms.mixes import follow_mix
from difficulty.alarms.summaries import DailySummaries
from difficulty.alarms.watchers import WATCHERS, Scene, Strand, Watcher
from difficulty.alarms.wealth import began, play
from difficulty.errors import InvalidValueError
from difficulty.text import quantity_text

RATE = 0.05
QUARTER = 91
REFERENCE_WEEKS = 4
STANDS_ON = 28
"""Days that an alarm of the quarter before goes on standing."""
MOST_ON_A_DAY = 1.5
"""What a bet on a shift can gain on one day, as a part of the threshold's logarithm. No bet has a
tenth of the wealth, so that one odd day raises no alarm."""
NEW_NAME = 0.01
"""Share of a side's calls on a day that makes another name a change."""
LEAST_CALLS = 5.0
FLOOD = 0.3
"""Share of a day's requests from one group that is told, where it is three times the usual."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What all watchers say of a log.

    Attributes
    ----------
    alarms : tuple of Alarm
        One a thing that is watched, those with most evidence for their threshold first.
    idle : mapping of str to str
        What is not watched, and why.
    floods : tuple of Flood
    reference : tuple of date, optional
        First and last day of the comparison; ``None`` where the log is too short.
    rate : float
        Chance of any false alarm in a quiet quarter, at most.
    """

    alarms: tuple[Alarm, ...]
    idle: Mapping[str, str]
    floods: tuple[Flood, ...]
    reference: tuple[date, date] | None
    rate: float

    @property
    def standing(self) -> tuple[Alarm, ...]:
        """Return the alarms that stand."""
        return tuple(alarm for alarm in self.alarms if alarm.standing)


def watch(
    log: DailySummaries,
    promises: Promises,
    *,
    bundle: str = "BUNDLE",
    logs: str = "LOG",
    rate: float = RATE,
    reference_weeks: int = REFERENCE_WEEKS,
) -> Watched:
    """Return the alarms of a log as of its last day.

    Parameters
    ----------
    log : DailySummaries
        Decisions of one version of a bundle: another one scores otherwise.
    promises : Promises
        What the bundle says of its traffic.
    bundle, logs : str
        Their paths as a shell takes them, for the commands that answer.
    rate : float
        Chance of a false alarm in a quiet quarter, over all alarms.
    reference_weeks : int
        Whole weeks at the beginning of the log that are compared with. Fewer than four leave more
        open, so that only larger changes rise. Choose once: another choice is another set of looks.

    Raises
    ------
    InvalidValueError
        If ``rate`` is not in (0, 1), or ``reference_weeks`` is not 2 or more.
    """
    if not 0.0 < rate < 1.0:
        raise InvalidValueError("rate", rate, rule="be in (0, 1)")
    if reference_weeks < 2:
        raise InvalidValueError(
            "reference_weeks", reference_weeks, rule="be 2 or more", hint="Weekdays need two each."
        )
    length = 7 * reference_weeks
    whole = len(log.days) >= length
    scene = Scene(log=log, reference=slice(0, length if whole else 0), promises=promises)
    total = sum(watcher.weight for watcher in WATCHERS.values())
    places = {"bundle": bundle, "logs": logs}
    alarms, idle = [], {}
    for name, watcher in WATCHERS.items():
        if watcher.needs_reference and len(log.days) <= length:
            idle[name] = (
                f"the reference is the log's first {reference_weeks} whole weeks, and the log has"
                f" {quantity_text(len(log.days), 'day')}"
            )
            continue
        strands = watcher.strands(scene)
        if isinstance(strands, str):
            idle[name] = strands
            continue
        alarm = _alarm(name, watcher, strands, scene, threshold=total / (rate * watcher.weight))
        answer = watcher.answer.format(**places)
        alarms.append(replace(alarm, answer=answer if alarm.standing else ""))
    alarms = _with_names(alarms, idle, scene, places)
    return Watched(
        alarms=tuple(sorted(alarms, key=_urgency)),
        idle=idle,
        floods=tuple(_floods(log, length if whole else len(log.days))),
        reference=(_date(log, 0), _date(log, length - 1)) if whole else None,
        rate=rate,
    )


def _urgency(alarm: Alarm) -> tuple[bool, float]:
    return not alarm.standing, -math.log(alarm.evidence / alarm.threshold)


def _alarm(
    name: str, watcher: Watcher, strands: Sequence[Strand], scene: Scene, *, threshold: float
) -> Alarm:
    """Return a watcher's alarm, of this quarter or still of the one before."""
    quiet = Alarm(name=name, subject=watcher.subject, standing=False, threshold=threshold)
    latest = quiet
    for first, last in _quarters(scene, from_the_start=not watcher.needs_reference):
        alarm = _alarm_of_quarter(quiet, watcher, strands, scene, slice(first, last))
        age = last - first
        if latest.standing and not alarm.standing and age <= STANDS_ON:
            continue
        latest = alarm
    return latest


def _quarters(scene: Scene, *, from_the_start: bool) -> Iterator[tuple[int, int]]:
    """Yield the first day of each quarter and the day after its last, in days of the log."""
    days = len(scene.log.days)
    end = scene.reference.stop + QUARTER
    first = 0 if from_the_start else scene.reference.stop
    # Two are enough: an alarm stands for no more than a quarter and four weeks.
    while end + QUARTER < days:
        first, end = end, end + QUARTER
    while first < days:
        yield first, min(end, days)
        first, end = end, end + QUARTER


def _alarm_of_quarter(
    quiet: Alarm, watcher: Watcher, strands: Sequence[Strand], scene: Scene, days: slice
) -> Alarm:
    """Return the alarm as of the last of some days."""
    most = None if watcher.sudden else MOST_ON_A_DAY * math.log(quiet.threshold)
    length = QUARTER + (scene.reference.stop if not days.start else 0)
    wealths = [
        play(
            strand.sums,
            strand.quiet,
            days,
            length=length,
            most=most,
            jointly=None
            if strand.products is None
            else follow_mix(strand.sums, strand.quiet, strand.products),
        )
        for strand in strands
    ]
    # Strands share the wealth equally.
    log = np.logaddexp.reduce([wealth.log for wealth in wealths]) - math.log(len(wealths))
    peak = int(np.argmax(log))
    alarm = replace(quiet, evidence=capped(max(0.0, float(log[peak]))))
    alarm = replace(alarm, odds=odds_in_words(alarm.evidence))
    above = np.flatnonzero(log >= math.log(quiet.threshold))
    if not len(above):
        return alarm
    best = int(np.argmax([wealth.log[peak] for wealth in wealths]))
    column = int(wealths[best].best[peak])
    seen = slice(days.start, days.start + peak + 1)
    since = began(strands[best].sums, strands[best].quiet, column, seen)
    alarm = replace(
        alarm,
        standing=True,
        since=_date(scene.log, since),
        crossed=_date(scene.log, days.start + int(above[0])),
    )
    return _described(alarm, strands[best], column, scene, slice(since, seen.stop), days.stop)


def _described(
    alarm: Alarm, strand: Strand, column: int, scene: Scene, moved: slice, end: int
) -> Alarm:
    """Return a standing alarm with what moved, and what that costs."""
    found = float(strand.sums[moved].mean()[column])
    expected = float(np.mean(strand.quiet.mean[moved, column]))
    cost, usd = _cost(scene, slice(moved.start, end))
    return replace(
        alarm,
        found=strand.told(found, column),
        expected=strand.told(expected, column),
        cost=cost,
        usd_a_month=usd,
    )


def _cost(scene: Scene, since: slice) -> tuple[str | None, float | None]:
    """Return what a request costs more or less since then, in money and in expected failures."""
    log, before = scene.log, scene.reference
    # Where the change began inside the reference, it is compared with itself.
    if not since.start or since.start <= before.start:
        return None, None
    usual = slice(before.start, min(before.stop, since.start) or since.start)
    parts, usd = [], None
    change = log.mean("cost_usd", since) - log.mean("cost_usd", usual)
    if not math.isnan(change):
        usd = change * log.requests_a_month(since)
        parts.append(f"{abs(usd):,.2f} USD a month {'more' if usd >= 0 else 'less'}")
    for side in ("cheap", "frontier"):
        column = f"p_{side}_fails"
        points = 100.0 * (log.mean(column, since) - log.mean(column, usual))
        if abs(points) >= 0.5:
            word = "more" if points > 0 else "less"
            parts.append(
                f"the {side} model is expected to fail {abs(points):.1f} points {word} often"
            )
    return "; ".join(parts) or None, usd


def _with_names(
    alarms: Sequence[Alarm], idle: dict[str, str], scene: Scene, places: Mapping[str, str]
) -> list[Alarm]:
    """Return the alarms, those of a model with another name standing."""
    by_name = {alarm.name: alarm for alarm in alarms}
    for side in ("cheap", "frontier"):
        renamed = _renamed(scene, side, places)
        if renamed is not None:
            idle.pop(renamed.name, None)
            by_name[renamed.name] = renamed
    return list(by_name.values())


def _renamed(scene: Scene, side: str, places: Mapping[str, str]) -> Alarm | None:
    """Return an alarm where a model is called by a name that the log's first week does not know."""
    sums, name = scene.log.sums.get(f"{side}_names"), f"{side}_model"
    if sums is None:
        return None
    # What was new a quarter ago is known by now.
    usual = sums.total[: max(7, len(sums.groups) - QUARTER)].sum(axis=0)
    new = np.where(usual > 0, 0.0, sums.total)
    per_day = new.sum(axis=1)
    calls = np.divide(per_day, sums.groups, out=np.zeros_like(per_day), where=sums.groups > 0)
    days = np.flatnonzero((calls >= NEW_NAME) & (per_day >= LEAST_CALLS))
    # Until the first week has calls at all, no name is new.
    if not usual.any() or not len(days):
        return None
    spoken = new[days[0] :].sum(axis=0)
    name_now, name_before = (sums.columns[int(np.argmax(said))] for said in (spoken, usual))
    cost, usd = _cost(scene, slice(int(days[0]), len(scene.log.days)))
    return Alarm(
        name=name,
        subject=f"the {side} model",
        standing=True,
        since=_date(scene.log, int(days[0])),
        crossed=_date(scene.log, int(days[0])),
        evidence=CERTAIN,
        threshold=1.0,
        odds="read from the log: the provider calls the model by another name",
        found=f"calls of {name_now}",
        expected=f"calls of {name_before}",
        cost=cost,
        usd_a_month=usd,
        answer=WATCHERS[name].answer.format(**places),
    )


def _floods(log: DailySummaries, reference: int) -> Iterator[Flood]:
    """Yield days on which one group sent three times the share that any did in the reference."""
    share = np.divide(
        log.largest_group, log.requests, out=np.zeros_like(log.requests), where=log.requests > 0
    )
    usual = float(share[:reference].max(initial=0.0)) if len(share) > reference else 0.0
    usual = usual or float(np.median(share)) if len(share) else 0.0
    for day in np.flatnonzero((share >= FLOOD) & (share > 3.0 * usual)):
        yield Flood(
            day=_date(log, int(day)), requests=int(log.largest_group[day]), share=float(share[day])
        )


def _date(log: DailySummaries, day: int) -> date:
    return log.days[day].astype(object)  # type: ignore[no-any-return]
