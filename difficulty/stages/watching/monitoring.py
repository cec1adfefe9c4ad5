"""Monitor: what a router did by its decision log, beside what its bundle promised."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from difficulty.alarms import Watched
from difficulty.bundle import Bundle, Trust
from difficulty.bundle.trusted import read_trusted
from difficulty.decisions import read_decisions, spread_decisions
from difficulty.engine import Engine
from difficulty.errors import BundleError
from difficulty.form import Record
from difficulty.monitor import Promised, Watch, watch_log
from difficulty.monitor.log_series import count_log, put_figures
from difficulty.monitor.monitor_page import figure_text, monitor_markdown
from difficulty.monitor.monitor_view import monitor_page
from difficulty.records import Estimate, Prices
from difficulty.stages.watching.expecting import Expected, expect_of_latest, expected_section
from difficulty.stages.watching.standing_alarms import alarm_section, find_alarms, words_of_log
from difficulty.storage import on_urls, whole_file
from difficulty.telemetry.meter import Meter
from difficulty.text import quantity_text

MONITOR_FILES = ("monitor.json", "monitor.md", "monitor.html")
"""What is written."""
_FEW = 0.01
"""Share of events from the future up to which these are some clock's error; more are a time that
was set, as in a simulation.
"""
_OF_MODELS = ("cheap_model", "frontier_model")
"""Alarms that say that a model is another: probabilities are of the old one."""
_BY_RULE = ("frontier_share", "quality", "cost", "risk", "fallback_share")
"""What a policy expects: of the rule, without what is explored beside it."""
_UNCHECKED = (
    "The bundle checks the cheap model's answers, and no event says that one was checked: figures"
    " are of routing alone, and what the bundle promised is not. Route through the gateway, or call"
    " router.check."
)
_AS_NAMED = ("escalated_share",)
_OF_METRICS = ("routing_precision", "saving")
_OF_BASELINES = {
    "always_cheap": {"quality": "cheap_quality", "cost": "cost_always_cheap"},
    "always_frontier": {"quality": "frontier_quality", "cost": "cost_always_frontier"},
}


@dataclass(frozen=True, kw_only=True)
class MonitorOptions:
    """What a log is looked at with."""

    outcomes: Sequence[Path] = ()
    """Late outcomes: feedback, or labelled traffic."""
    prices: Prices | None = None
    """For calls whose cost the log does not have."""
    since: datetime | None = None
    until: datetime | None = None
    """First moment, and first moment no more."""
    any_bundle: bool = False
    """Whether the events of all bundles count, rather than this one's."""
    trust: Trust | None = None
    """Who must have signed the bundle."""
    work_dir: Path | None = None
    """Where the log's table is kept meanwhile."""
    counted: bool = False
    """Whether the log's events are counted for Prometheus too."""
    memory_gb: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitored(Record):
    """What monitor.json holds: the answer, and the figures."""

    sentence: str
    next_step: str
    alarms: Watched
    unlabelled: Expected
    """What the bundle's probabilities say of the last four weeks."""
    watch: Watch
    meter: Meter = field(default_factory=Meter, repr=False)
    """What Prometheus reads; no part of monitor.json."""

    def as_dict(self, **_: Any) -> dict[str, Any]:
        """Return the JSON form: the answer first, then alarms, then the figures beside them."""
        figures = self.watch.as_dict()
        watched = self.alarms
        first = {
            "format": figures.pop("format"),
            "sentence": self.sentence,
            "next": self.next_step,
            "standing": [alarm.name for alarm in watched.standing],
            "alarms": [alarm.as_dict() for alarm in watched.alarms],
            "not_watched": dict(watched.idle),
            "floods": [flood.as_dict() for flood in watched.floods],
            "compared_with": watched.reference and [str(day) for day in watched.reference],
            "false_alarm_rate": watched.rate,
            "unlabelled": self.unlabelled.as_dict(),
        }
        return first | figures

    @property
    def is_quiet(self) -> bool:
        """Whether no alarm stands."""
        return not self.alarms.standing


@on_urls
def monitor(
    logs: Sequence[Path],
    bundle_path: Path,
    options: MonitorOptions = MonitorOptions(),
    *,
    engine: Engine | None = None,
    progress: Callable[[str], None] | None = None,
) -> Monitored:
    """Return what logs say of the router that a bundle makes.

    Parameters
    ----------
    logs : sequence of Path
        Folders and files of decision logs.
    bundle_path : Path
        The bundle that decided.
    options : MonitorOptions
    engine : Engine, optional
        Whose workers hold the logs and add up; the report is the same.
    progress : callable, optional
        Told what is being done.

    Raises
    ------
    TrafficNotFoundError
        If a log is not there.
    LogError
        If the logs hold no event of this bundle and time.
    BundleError
        If the bundle cannot be read, or is not signed by whom ``options.trust`` names.
    """
    say = progress or (lambda _: None)
    bundle = read_trusted(bundle_path, options.trust)
    promised = promised_by(bundle)
    say("reading the log")
    notes: tuple[str, ...] = ()
    reading_of = read_decisions if engine is None else partial(spread_decisions, engine=engine)
    with reading_of(
        logs,
        outcomes=options.outcomes,
        bundle_versions=(bundle.label,),
        work_dir=options.work_dir,
        memory_gb=options.memory_gb,
    ) as table:
        reading = table.reading
        # A few wrong clocks must not make years of empty weeks of a log, nor bring its review near.
        if options.until is None and 0 < reading.from_future <= _FEW * reading.events:
            options = replace(options, until=datetime.now(UTC) + timedelta(days=1))
            notes = (
                f"Left out of all figures: {quantity_text(reading.from_future, 'event')} from the"
                " future.",
            )
        watch = watch_log(
            table,
            replace(promised, bundle_version=None) if options.any_bundle else promised,
            prices=options.prices,
            since=options.since,
            until=options.until,
            progress=say,
        )
        if bundle.policy.answer and watch.overall["escalated_share"].value is None:
            watch = replace(watch, notes=(*watch.notes, _UNCHECKED))
        alarms = find_alarms(
            table,
            bundle,
            bundle_path,
            logs=logs,
            outcomes=options.outcomes,
            any_bundle=options.any_bundle,
            since=options.since,
            until=options.until,
            progress=say,
        )
        say("estimating without labels")
        unlabelled = expect_of_latest(table, bundle, until=options.until)
        meter = Meter()
        if options.counted:
            say("counting events")
            count_log(meter, table, since=options.since, until=options.until)
            put_figures(meter, watch, alarms)
    changed = [alarm for alarm in alarms.standing if alarm.name in _OF_MODELS]
    if changed:
        unlabelled = unlabelled.without(
            f"{changed[0].subject} is another since {changed[0].since}, and the bundle knows the"
            " old one. Label some requests"
        )
    return Monitored(
        sentence=_sentence(watch, alarms),
        next_step=(
            alarms.standing[0].answer
            if alarms.standing
            else _next_step(watch, logs, bundle_path, bundle.policy.review_date, options)
        ),
        alarms=alarms,
        unlabelled=unlabelled,
        watch=replace(watch, notes=(*watch.notes, *notes)),
        meter=meter,
    )


def promised_by(bundle: Bundle) -> Promised:
    """Return what a bundle says of itself: what its threshold was chosen for, and what its own
    evaluation found.
    """
    chosen = bundle.policy.chosen
    # Figures of requests that are decided alone are no promise where sessions keep their model.
    expected = {} if bundle.policy.stick else _of_policy(chosen.expected)
    try:
        metrics = json.loads(bundle.files.get("metrics.json", b"{}"))
        expected |= _of_metrics(metrics)
    except (ValueError, TypeError, AttributeError) as error:
        raise BundleError(
            f"metrics.json of {str(bundle.path)!r} must hold figures: {type(error).__name__}. Ship"
            " again."
        ) from error
    catch_rate = bundle.policy.fallback.catch_rate
    if catch_rate is not None:
        expected["catch_rate"] = Estimate(value=catch_rate)
    return Promised(
        bundle_version=bundle.label,
        target=bundle.manifest.target,
        expected=expected,
        objective=chosen.objective,
        guarantee=chosen.guarantee or "",
    )


def _of_policy(expected: Mapping[str, Any]) -> dict[str, Estimate]:
    names = {name: f"rule_{name}" for name in _BY_RULE} | {name: name for name in _AS_NAMED}
    return {
        names[name]: estimate
        for name, form in expected.items()
        if name in names and (estimate := _estimate(form)).value is not None
    }


def _of_metrics(metrics: Mapping[str, Any]) -> dict[str, Estimate]:
    overall = metrics.get("overall", {})
    expected = {name: _estimate(overall[name]) for name in _OF_METRICS if name in overall}
    for baseline, names in _OF_BASELINES.items():
        figures = metrics.get("baselines", {}).get(baseline, {})
        expected |= {
            name: _estimate(figures[figure]) for figure, name in names.items() if figure in figures
        }
    return {name: estimate for name, estimate in expected.items() if estimate.value is not None}


def _estimate(form: Any) -> Estimate:
    if not isinstance(form, Mapping) or not isinstance(form.get("value"), int | float):
        return Estimate(value=None)
    return Estimate(
        value=form["value"], low=form.get("low"), high=form.get("high"), n=form.get("n") or 0
    )


def _sentence(watch: Watch, alarms: Watched) -> str:
    """Return the result in one sentence."""
    figures, expected = watch.overall, watch.expected

    def beside_promise(name: str) -> str:
        promised = expected.get(name)
        beside = f" (expected {figure_text(name, promised, ends=False)})" if promised else ""
        return figure_text(name, figures[name], ends=False) + beside

    n = int(figures["requests"].value or 0)
    parts = [
        f"{quantity_text(n, 'request')} from {watch.first} to {watch.last}",
        f"by the rule {beside_promise('rule_frontier_share')} go to the frontier model",
        f"quality {beside_promise('rule_quality')}",
        f"cost {beside_promise('rule_cost')} USD per 1,000 requests",
    ]
    if figures["saving"].value is not None:
        saving = figure_text("saving", figures["saving"], ends=False)
        parts.append(f"{saving} less than always frontier")
    n_standing = len(alarms.standing)
    names = ", ".join(alarm.subject for alarm in alarms.standing)
    stands = "no alarm stands" if not n_standing else f"{n_standing} alarms stand ({names})"
    return "; ".join([*parts, stands.replace("1 alarms stand", "1 alarm stands")]) + "."


def _next_step(
    watch: Watch, logs: Sequence[Path], bundle: Path, review: date, options: MonitorOptions
) -> str:
    """Return the command, or the wait, that follows."""
    log = words_of_log(logs, options.outcomes)
    place = shlex.quote(str(bundle))
    if watch.overall["quality"].value is None and not options.outcomes:
        return (
            "quality is unknown without late outcomes: difficulty monitor"
            f" {log} --bundle {place} --outcomes FEEDBACK -o DIR"
        )
    last = date.fromisoformat(watch.last)
    if last >= review:
        return (
            f"the review date {review} has come: difficulty recalibrate {log} --bundle {place}"
            " -o NEXT"
        )
    return f"nothing to do before the review date {review}; run monitor again next week."


@on_urls
def write_monitored(
    monitored: Monitored, out: Path, *, prometheus: Path | None = None
) -> tuple[Path, ...]:
    """Write ``monitor.json``, ``monitor.md`` and ``monitor.html`` into a folder, and what
    Prometheus reads into a file that is named; return all paths. Each is replaced in one step.
    """
    told = any(
        figure.value is not None
        for figure in (monitored.unlabelled.risk, monitored.unlabelled.quality)
    )
    page = monitor_page(
        monitored.watch,
        monitored.alarms,
        sentence=monitored.sentence,
        next_step=monitored.next_step,
        remarks=(monitored.unlabelled.sentence,) if told else (),
        beside=(expected_section(monitored.unlabelled),),
    )
    comment = monitor_markdown(
        monitored.watch,
        monitored.sentence,
        monitored.next_step,
        alarms=(alarm_section(monitored.alarms), expected_section(monitored.unlabelled)),
    )
    content = json.dumps(monitored.as_dict(), indent=1, default=str, allow_nan=False) + "\n"
    files = dict(zip((out / name for name in MONITOR_FILES), (content, comment, page), strict=True))
    if prometheus is not None:
        files[prometheus] = monitored.meter.text()
    for path, text in files.items():
        with whole_file(path) as file:
            file.write(text)
    return tuple(files)
