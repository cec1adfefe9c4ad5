"""Recalibrate: calibrators and thresholds of a bundle moved where new traffic says so, without
training, and only there.

The new traffic is split inside, by groups. One half tests the probabilities and what was expected
of the threshold, and fits the maps. Where the objective is a point on the curve (share, cost,
quality) it chooses the threshold too, and the other half judges that. Where the objective promises
something, the other half tests the promise for every threshold at once, which is the house's way to
choose one, and the first half judges. So figures are always of samples that did not choose, and a
promise is tested on samples that nothing was fitted on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.answer_check.golden_cases import golden_cases
from difficulty.bundle import Bundle, Policy, read_bundle, write_bundle
from difficulty.bundle.seen import PARTS
from difficulty.bundle.signature import SigningKey, opened, sign_folder
from difficulty.bundle.store import ANSWER_GRAPH, GOLDEN_ANSWERS, REFERENCE
from difficulty.errors import (
    NotAttainableError,
    ParityError,
    ScoringError,
    SeenTrafficError,
    TooFewSamplesError,
)
from difficulty.evaluation import metrics_text
from difficulty.evaluation.figures import CALIBRATION_FIGURES
from difficulty.evaluation.result import without_threshold
from difficulty.evaluation.rule_tasks import judge_rule, losing
from difficulty.evaluation.scored import Thresholds
from difficulty.export.parity import golden_requests
from difficulty.metrics.arrays import FloatArray, IntArray
from difficulty.metrics.bootstrap import STANDARD, Resampling
from difficulty.records import Estimate, OperatingPoint, Prices
from difficulty.runtime.answer_checker import AnswerChecker
from difficulty.runtime.golden_answers import golden_answer_rows
from difficulty.runtime.scorer import Scorer
from difficulty.stages.choosing import chosen_point, policy_files
from difficulty.stages.judging import (
    Served,
    label_settings,
    shipped_figures,
    weighed,
    without_forms,
)
from difficulty.stages.overlap import overlap_of
from difficulty.stages.ship import bundle_name
from difficulty.stages.thresholds import exits_again, next_policy, seen_file
from difficulty.stages.watching.change_pages import card_of, changes_page
from difficulty.stages.watching.evidence import (
    PER_TASK,
    Recalibrated,
    UpkeepCase,
    count_samples,
    find_evidence,
    is_hopeless,
)
from difficulty.stages.watching.expecting import reference_bytes, reference_of
from difficulty.storage import on_urls
from difficulty.text import quantity_text
from difficulty.thresholds.point import changes, operating_point
from difficulty.thresholds.policy_curve import parse_objective
from difficulty.thresholds.ways import BY_COST, WayWanted
from difficulty.traffic.table import Traffic
from difficulty.training.run import notes_of
from difficulty.upkeep.composed_graph import (
    OF_ANSWERS,
    check_as_before,
    recalibrated_check,
    recalibrated_scorer,
)
from difficulty.upkeep.logit_map import LogitMap
from difficulty.upkeep.moving import brier_change, known_target

CHANGES_FILE, CHANGES_PAGE = "changes.json", "changes.md"


@on_urls
def recalibrate(
    bundle_path: Path,
    traffic: Traffic,
    out: Path,
    *,
    objective: str | None = None,
    per_task: bool | None = None,
    choose_share: float = 0.5,
    catch_rate: float | None = None,
    answer: WayWanted = BY_COST,
    prices: Prices | None = None,
    sign_with: SigningKey | None = None,
    today: date | None = None,
    resampling: Resampling = STANDARD,
    seed: int = 0,
    logged: Mapping[str, FloatArray] | None = None,
    notes: tuple[str, ...] = (),
    progress: Callable[[str], None] | None = None,
) -> Recalibrated:
    """Test a bundle on new traffic, and write the next version where something should move.

    Parameters
    ----------
    bundle_path : Path
    traffic : Traffic
        Labelled, partly labelled or, for the objectives ``share`` and ``cost``, without a label.
        What the bundle was made from is left out.
    out : Path
        The new bundle, ``<name>-<version>``.
    objective : str, optional
        Default: the bundle's own.
    per_task : bool, optional
        Whether it is met in each task; default: as in the bundle.
    choose_share : float
        Share of the groups that test and fit; the others judge, or test the promise.
    catch_rate : float, optional
        Default: the bundle's.
    answer : WayWanted
        Whether answers are checked.
    prices : Prices, optional
    sign_with : SigningKey, optional
    today : date, optional
        From which the review date counts.
    resampling : Resampling
    seed : int
        Of the halves.
    logged : mapping of str to ndarray of shape (n,), optional
        What the bundle gave for each request when it decided, where no texts were kept; NaN where a
        rule decided.
    notes : tuple of str
        What is to be said of how the traffic was read.
    progress : callable, optional
        Told what is being done, in a few words.

    Returns
    -------
    Recalibrated
        Without a bundle where nothing should move, or where only retraining helps.

    Raises
    ------
    BundleError
        If the bundle is damaged, or ``out`` exists or is not named ``<name>-<version>``.
    SeenTrafficError
        If the bundle was made from all of the traffic.
    TooFewSamplesError
        If a half has too few requests.
    NoSignalError
        If the objective needs outcomes and none is known.
    NotAttainableError
        If no threshold meets the objective on this traffic.
    """
    say = progress or (lambda _: None)
    # What cannot be written, or signed, is refused before the work.
    name, version = bundle_name(out)
    sign = partial(sign_folder, key=opened(sign_with)) if sign_with else None
    old = read_bundle(bundle_path)
    written = old.policy.chosen.objective
    wanted = parse_objective((objective or written).removesuffix(PER_TASK))
    fresh, warnings = _fresh(traffic, old) if logged is None else (traffic, ())
    fresh, ungraded = without_forms(fresh, old)
    weighted, weights = weighed(fresh, label_settings(old))
    say("scoring")
    rate = old.policy.fallback.catch_rate if catch_rate is None else catch_rate
    case = UpkeepCase.of(
        old,
        weighted,
        choose_share=choose_share,
        objective=wanted,
        per_task=written.endswith(PER_TASK) if per_task is None else per_task,
        catch_rate=rate,
        answer=answer,
        prices=prices,
        resampling=resampling,
        seed=seed,
        logged=logged,
    )
    say("testing whether anything should move")
    result = find_evidence(case, samples=count_samples(traffic, case), warnings=warnings)
    result = replace(result, notes=(*notes, *ungraded, *notes_of(weights), *result.notes))
    if case.asked != written:
        asked = f"another objective is asked for: {case.asked}, it was {written}"
        result = replace(result, reasons=(asked, *result.reasons))
    if not result.reasons:
        return replace(result, reasons=(_nothing(result),))
    if result.retraining and is_hopeless(case):
        why = "no threshold of this score can reach the objective by more than chance"
        return replace(result, reasons=(why,))
    say("moving calibrators and choosing the threshold")
    moved = _moved(case, result)
    result, policy = _rechosen(case, moved, result, today=today or datetime.now(UTC).date())
    say("writing")
    files = _files(case, moved, result, policy, label=f"{name}-{version}")
    manifest = old.next_manifest(name=name, version=version)
    return replace(result, bundle=write_bundle(out, files, manifest, sign=sign))


class _Moved(NamedTuple):
    """The bundle with its calibrators moved, and what it gives for the traffic."""

    maps: Mapping[str, LogitMap]
    bundle: Bundle
    scorer: Scorer
    served: Served


def _moved(case: UpkeepCase, result: Recalibrated) -> _Moved:
    """Move the calibrators that are to move."""
    maps = {test.output: test.map for test in result.calibrators if test.moves}
    if not maps:
        return _Moved(maps, case.old, case.scorer, case.served)
    bundle = _with_maps(case.old, maps)
    scorer = Scorer.from_bundle(bundle)
    served = case.serve(bundle, scorer, maps)
    tolerance = case.old.manifest.score_tolerance
    _check_parity(case.served.scores.outputs, served.scores.outputs, maps, tolerance=tolerance)
    if case.logged is not None:
        # The log's scores came from no graph that could be asked here.
        suite = [_score_suite(each) for each in (case.scorer, scorer)]
        _check_parity(suite[0], suite[1], maps, tolerance=tolerance)
    return _Moved(maps, bundle, scorer, served)


def _rechosen(
    case: UpkeepCase, moved: _Moved, result: Recalibrated, *, today: date
) -> tuple[Recalibrated, Policy]:
    """Choose the threshold again; return what it does beside the old one, and the new policy."""
    old, served = case.old, moved.served
    point, judges = _chosen(case, served, result)
    policy = next_policy(old, point, served.traffic, catch_rate=case.catch_rate, today=today)
    judged = case.table(served, judges)
    # The old threshold stands where its requests stand on the new scale.
    cuts = _moved_thresholds(
        case.served.thresholds_of(old.policy), moved.maps.get("difficulty_score")
    )
    before = operating_point(judged, cuts, case.resampling, objective=old.policy.chosen.objective)
    early, exit_notes = exits_again(old, policy, served, case.asked) if case.early else (None, ())
    lost = losing(judge_rule(served.under_policy(policy), case.resampling))
    result = replace(
        result,
        old=before,
        new=point,
        changes=changes(judged, before, point, case.resampling),
        brier=_brier(case, moved.maps),
        notes=(*result.notes, *(task.sentence for task in lost), *exit_notes),
    )
    return result, replace(policy, early=early)


def _files(
    case: UpkeepCase, moved: _Moved, result: Recalibrated, policy: Policy, *, label: str
) -> dict[str, bytes]:
    """Return the files of the new bundle."""
    old = case.old
    return {
        # The old files first: those that speak of the threshold are put in their place below.
        **moved.bundle.files,
        # Without texts there is nothing to know requests again by.
        **(seen_file(old, moved.served.traffic) if case.logged is None else {}),
        **policy_files(moved.scorer, policy, version=label, early=case.early),
        **_golden_answers(moved, policy, label),
        **_reference(case, moved),
        "metrics.json": _metrics(old, result, moved.maps),
        CHANGES_FILE: _changes_file(old, result, label),
        CHANGES_PAGE: changes_page(result, label=label).encode(),
        "card.md": card_of(result, label=label, policy=policy),
    }


def _fresh(traffic: Traffic, bundle: Bundle) -> tuple[Traffic, tuple[str, ...]]:
    """Return what the bundle was not made from, and what to warn of."""
    overlap = overlap_of(bundle, traffic, parts=PARTS)
    if overlap.seen.all():
        raise SeenTrafficError(
            "recalibrating needs requests that the bundle was not made from:"
            f" {bundle.label} has seen all {len(traffic):,}. Pass traffic that is newer."
        )
    return traffic.select(~overlap.seen), (overlap.warning,) if overlap.warning else ()


def _nothing(result: Recalibrated) -> str:
    """Return why nothing is written."""
    tested = [test.output for test in result.calibrators if test.p_value is not None]
    about = f"the calibration of {', '.join(tested)} and " if tested else ""
    verb = "are" if tested else "is"
    decided = [test.figure.replace("_", " ") for test in result.figures if test.decides]
    return (
        f"nothing should move: {about}the objective's figure ({', '.join(decided) or 'none'})"
        f" {verb} as expected, as far as {quantity_text(result.samples.first_half, 'request')}"
        " can tell."
        " The review date moves with 'difficulty policy --set review_date=...'"
    )


def _with_maps(old: Bundle, maps: Mapping[str, LogitMap]) -> Bundle:
    """Return the bundle as if its graphs had been shipped with the maps."""
    # The reference is of other scores; it is made anew.
    files = {name: content for name, content in old.files.items() if name != REFERENCE}
    of_scorer = {name: map_ for name, map_ in maps.items() if name != OF_ANSWERS}
    files["scorer.onnx"] = recalibrated_scorer(old.files["scorer.onnx"], of_scorer)
    if ANSWER_GRAPH in files:
        files[ANSWER_GRAPH] = check_as_before(files[ANSWER_GRAPH], maps)
        if OF_ANSWERS in maps:
            files[ANSWER_GRAPH] = recalibrated_check(files[ANSWER_GRAPH], maps[OF_ANSWERS])
    return replace(old, files=files)


def _score_suite(scorer: Scorer) -> Mapping[str, NDArray[np.floating]]:
    """Return what a scorer gives for the golden requests that can be scored."""
    rows = []
    for request in golden_requests(numbers=scorer.reads_numbers):
        with suppress(ScoringError):
            rows.append(scorer.encode(request["messages"], None, request.get("tools")).ids)
    return scorer.score_many(rows)


def _check_parity(
    served: Mapping[str, NDArray[np.floating]],
    mapped: Mapping[str, NDArray[np.floating]],
    maps: Mapping[str, LogitMap],
    *,
    tolerance: float,
) -> None:
    """Refuse a graph that does not give what its maps say."""
    for name, values in served.items():
        if name not in mapped:
            continue
        wanted = values.astype(np.float64)
        if name in maps:
            wanted = maps[name](wanted)
        far = np.abs(wanted - mapped[name].astype(np.float64))
        worst = float(np.nanmax(far, initial=0.0))
        if not worst <= tolerance:
            raise ParityError(
                f"the graph with moved calibrators must give {name} within {tolerance:g} of what"
                f" the maps say: it differs by {worst:.3g}. Ship the run again instead."
            )


def _chosen(
    case: UpkeepCase, mapped: Served, result: Recalibrated
) -> tuple[OperatingPoint, IntArray]:
    """Return the new point with figures of the half that did not choose it, and that half."""
    chooses, judges = case.first, case.second
    if case.objective.promises:
        # A promise is tested where no map was fitted and nothing was decided.
        chooses, judges = case.second, case.first
    try:
        point = chosen_point(
            case.table(mapped, chooses),
            str(case.objective),
            case.resampling,
            per_task=case.per_task,
            answer=case.way,
        )
    except NotAttainableError as error:
        due = "".join(f" Retraining is due: {sentence}." for sentence in result.retraining)
        raise NotAttainableError(f"{error}{due}") from error
    judged = operating_point(
        case.table(mapped, judges),
        Thresholds(point.threshold, point.task_thresholds, point.answer),
        case.resampling,
        objective=point.objective,
    )
    said = (
        f"figures are of {len(judges):,} requests that did not choose the threshold, which"
        f" {quantity_text(len(chooses), 'other')} did"
    )
    return (replace(judged, guarantee=point.guarantee, assumed=(*point.assumed, said)), judges)


def _moved_thresholds(cuts: Thresholds, map_: LogitMap | None) -> Thresholds:
    """Return thresholds on the scale of mapped scores."""
    if map_ is None:
        return cuts

    def moved(cut: float) -> float:
        # The ends stay ends: everything, or nothing, is above them.
        return cut if cut in (0.0, 1.0) else float(map_(np.array([cut]))[0])

    answer: Any = cuts.answer
    if answer is not None and answer.request_threshold is not None:
        answer = replace(answer, request_threshold=moved(answer.request_threshold))
    tasks = {task: moved(cut) for task, cut in cuts.task_thresholds.items()}
    return Thresholds(moved(cuts.threshold), tasks, answer)


def _brier(case: UpkeepCase, maps: Mapping[str, LogitMap]) -> dict[str, Estimate]:
    """Return what each map changes on the second half, which it was not fitted on."""
    scored, rows = case.served.scored.at(case.second), case.second
    changed = {}
    for name, map_ in maps.items():
        before = case.served.scores.outputs[name][rows].astype(np.float64)
        changed[name] = brier_change(
            before,
            map_(before),
            known_target(name, scored),
            weight=scored.outcomes.weight,
            groups=scored.groups,
        )
    return changed


def _golden_answers(moved: _Moved, policy: Policy, label: str) -> dict[str, bytes]:
    """Return the golden vectors of the check of answers, where there is one and it moved."""
    if not moved.maps or GOLDEN_ANSWERS not in moved.bundle.files:
        return {}
    checker = AnswerChecker.from_bundle(moved.bundle, moved.scorer)
    assert checker is not None
    whole = AnswerChecker(checker.graph, moved.scorer, policy.answer, version=label)
    rows = golden_answer_rows(whole, golden_cases())
    return {GOLDEN_ANSWERS: "".join(json.dumps(row) + "\n" for row in rows).encode("ascii")}


def _reference(case: UpkeepCase, moved: _Moved) -> dict[str, bytes]:
    """Return ``reference.json`` of the half that no map was fitted on, where the scores moved."""
    if not moved.maps:
        return {}
    served, scores = moved.served, moved.served.scores
    # Of a log without texts, what a rule settled was not scored.
    rows = case.second[~np.isnan(scores.outputs["difficulty_score"][case.second])]
    part = Served(
        traffic=served.traffic.select(rows),
        scores=scores._replace(
            outputs={name: values[rows] for name, values in scores.outputs.items()},
            totals=scores.totals[rows],
            readable=scores.readable[rows],
            knows_task=scores.knows_task[rows],
            without_task=None,
            early=None,
        ),
        scored=served.scored.at(rows),
    )
    try:
        return {REFERENCE: reference_bytes(reference_of(part))}
    except TooFewSamplesError:
        # A log may not tell what a reference holds: none is better than that of other scores.
        return {}


def _metrics(old: Bundle, result: Recalibrated, maps: Mapping[str, LogitMap]) -> bytes:
    """Return the old figures without those that no longer hold."""
    samples = result.samples
    n = samples.first_half + samples.second_half
    note = (
        f"the bundle was recalibrated on {quantity_text(n, 'request')}; evaluate it on other"
        " traffic"
    )
    figures = without_threshold(shipped_figures(old), note).noting(
        [f"Of the requests of the recalibration: {sentence}" for sentence in result.notes]
    )
    moved = {
        "p_cheap_fails": {"brier", "ece", *CALIBRATION_FIGURES},
        "p_frontier_fails": {f"{name}_frontier" for name in ("brier", "ece", *CALIBRATION_FIGURES)},
    }
    stale = set().union(*(names for output, names in moved.items() if output in maps))

    def cleared(part: Mapping[str, Estimate]) -> dict[str, Estimate]:
        return {
            name: Estimate(value=None, note=note) if name in stale else each
            for name, each in part.items()
        }

    figures = replace(
        figures,
        overall=cleared(figures.overall),
        slices={
            kind: {name: cleared(part) for name, part in parts.items()}
            for kind, parts in figures.slices.items()
        },
    )
    return metrics_text(figures).encode()


def _changes_file(old: Bundle, result: Recalibrated, label: str) -> bytes:
    """Return ``changes.json``, with the versions that went before."""
    history = []
    if CHANGES_FILE in old.files:
        earlier = json.loads(old.files[CHANGES_FILE])
        before = {name: earlier.get(name) for name in ("bundle", "parent", "reasons")}
        history = [*earlier.get("history", []), before]
    content = {"bundle": label, **result.as_dict(), "history": history}
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
