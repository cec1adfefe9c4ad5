"""The outcome of an evaluation, as metrics.json holds it.

Format 1 is the only one so far. To change the meaning of a part: raise ``FORMAT``, keep reading the
old one, and keep a file of it under test. A part that is added does not raise it: files without it
are read, and readers pass over what they do not know.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from difficulty.errors import InvalidValueError, RunError, UnknownNameError
from difficulty.evaluation.decision.finding import Finding
from difficulty.evaluation.displays import CalibrationDisplay, CostQualityDisplay, ScoreDisplay
from difficulty.evaluation.displays.frames import evaluation_frame
from difficulty.evaluation.displays.summary_html import describe_evaluation, evaluation_html
from difficulty.evaluation.figures import WITHOUT_THRESHOLD
from difficulty.evaluation.frontiers import CheckFigures
from difficulty.evaluation.scored import Target
from difficulty.evaluation.tradeoff import Curve
from difficulty.evaluation.verdict import SwitchVerdict
from difficulty.evaluation.views import AlongShare, CalibrationBins, Histogram
from difficulty.form import Record
from difficulty.records import Estimate
from difficulty.storage import whole_file

if TYPE_CHECKING:
    from pandas import DataFrame

FORMAT = 1

Estimates = Mapping[str, Estimate]
_NUMBERS = re.compile(r"\[\n[^\[\]{}\"]*\]")
"""A list without strings or parts; inside a string there is no line break, so none begins there."""
_PICTURES: Mapping[
    str, type[CostQualityDisplay] | type[CalibrationDisplay] | type[ScoreDisplay]
] = {"cost_quality": CostQualityDisplay, "calibration": CalibrationDisplay, "scores": ScoreDisplay}
_FIXED = ("always_cheap", "always_frontier")
"""Baselines whose figures no threshold changes."""


@dataclass(frozen=True, kw_only=True)
class Evaluation(Record):
    """Every figure of one evaluation, each with its 95 % interval, in the order of metrics.json."""

    target: Target
    """What the score predicts."""
    threshold: float | None
    """Where the routing figures were taken."""
    n_draws: int
    """Bootstrap draws behind the intervals."""
    counts: Mapping[str, int]
    """How many requests were judged and what is known of them."""
    notes: tuple[str, ...]
    """What a reader has to know."""
    findings: tuple[Finding, ...] = ()
    """What the honesty checks found, the gravest first."""
    lineage: Mapping[str, Any] = field(default_factory=dict)
    """What was judged by what."""
    measured_by: Mapping[str, int] = field(default_factory=dict)
    """What outcomes were measured by, with the requests; ``""``: nobody said."""
    overall: Estimates
    """Figures of all requests, by flat name."""
    slices: Mapping[str, Mapping[str, Estimates]]
    """Kind of slice, then slice, then figure."""
    baselines: Mapping[str, Estimates]
    """Baseline, then figure; ``apgr_difference`` and ``quality_difference`` are the score's figure
    minus the baseline's, on the same draws.
    """
    curve: Curve | None = None
    """The routing figures at many thresholds, the operating one among them."""
    answer_curve: Curve | None = None
    """The same along the threshold of the answer check, what is sent at once staying; ``None``
    where answers are not checked.
    """
    baseline_curves: Mapping[str, AlongShare] = field(default_factory=dict)
    """``score`` or baseline, then columns along the share."""
    calibration: Mapping[str, CalibrationBins] = field(default_factory=dict)
    """Reliability bins of ``p_cheap_fails`` and ``p_frontier_fails``."""
    histogram: Histogram | None = None
    """Scores by outcome."""
    verdict: SwitchVerdict | None = None
    """Whether to switch the router on; ``None`` where nothing was weighed, as in training."""
    early: Mapping[str, Estimates] = field(default_factory=dict)
    """Where a bundle has early exit: kind of request, ``with_task`` or ``without_task``, then
    ``asked``, the share that the scorer is asked about, and ``changed``, the share of decisions
    that differ from the scorer's. All other figures are the scorer's.
    """
    robustness: Mapping[str, Estimates] = field(default_factory=dict)
    """Perturbation, then figure, where requests were judged perturbed too."""
    sessions: Estimates = field(default_factory=dict)
    """What a policy that keeps sessions on their model does to those of the traffic, beside
    deciding each step alone; all other figures are of requests decided alone.
    """
    answer: CheckFigures | None = None
    """What checking answers does to the bill; ``None`` where no answer was checked."""

    def __repr__(self) -> str:
        """Return one line: metrics.json has thousands of numbers."""
        return describe_evaluation(self)

    def _repr_html_(self) -> str:
        """Return the summary that notebooks show."""
        return evaluation_html(self)

    def to_frame(self, part: str = "overall") -> DataFrame:
        """Return figures as a pandas frame, with the columns value, low, high, n and note.

        Parameters
        ----------
        part : {"overall", "slices", "baselines", "curve", "calibration"}
            ``curve`` has a row for each threshold, and columns for each figure and its interval.

        Raises
        ------
        UnknownNameError
            If there is no such part.
        """
        return evaluation_frame(self, part)

    to_pandas = to_frame

    def plot(self, kind: str = "cost_quality", ax: Any = None, **style: Any) -> Any:
        """Draw a picture by matplotlib and return its display.

        Parameters
        ----------
        kind : {"cost_quality", "calibration", "scores"}
        ax : matplotlib Axes, optional
            Where to draw; default: a new figure.
        **style
            As the display's ``plot`` takes it.

        Raises
        ------
        UnknownNameError
            If there is no such picture.
        UndefinedMetricError
            If what it shows is unknown here.
        MissingExtraError
            If matplotlib is not installed.
        """
        if kind not in _PICTURES:
            raise UnknownNameError("picture of an evaluation", kind, _PICTURES)
        return _PICTURES[kind].from_evaluation(self).plot(ax, **style)

    def noting(self, notes: Sequence[str]) -> Evaluation:
        """Return the same figures with more notes."""
        return replace(self, notes=(*self.notes, *notes))

    def as_dict(self, *, without: Container[str] = ()) -> dict[str, Any]:
        """Return exactly what metrics.json holds, the verdict first; it, ``early``, ``robustness``,
        ``sessions``, ``answer`` and ``answer_curve`` only where there is one, and so is
        ``measured_by``.
        """
        written = super().as_dict(without=without)
        for name in ("early", "measured_by", "robustness", "sessions", "answer", "answer_curve"):
            if not written.get(name):
                written.pop(name, None)
        verdict = written.pop("verdict")
        first = {"format": FORMAT} if verdict is None else {"format": FORMAT, "verdict": verdict}
        return first | written

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Evaluation:
        """Return the evaluation that :meth:`as_dict` wrote.

        Raises
        ------
        InvalidValueError
            If the format is not known.
        """
        if content.get("format") != FORMAT:
            raise InvalidValueError(
                "metrics format",
                content.get("format"),
                rule=f"be {FORMAT}",
                hint="Upgrade difficulty or evaluate again.",
            )
        return cls(
            target=content["target"],
            threshold=content["threshold"],
            n_draws=content["n_draws"],
            counts=dict(content["counts"]),
            notes=tuple(content["notes"]),
            overall=_estimates(content["overall"]),
            slices={
                kind: {name: _estimates(part) for name, part in parts.items()}
                for kind, parts in content["slices"].items()
            },
            baselines={name: _estimates(part) for name, part in content["baselines"].items()},
            **_optional(content),
        )


def without_threshold(evaluation: Evaluation, note: str) -> Evaluation:
    """Return the evaluation with figures at the threshold unknown, for the reason ``note``."""

    def cleared(part: Estimates) -> dict[str, Estimate]:
        return {
            name: value if name in WITHOUT_THRESHOLD else Estimate(value=None, note=note)
            for name, value in part.items()
        }

    return replace(
        evaluation,
        threshold=None,
        overall=cleared(evaluation.overall),
        slices={
            kind: {name: cleared(part) for name, part in parts.items()}
            for kind, parts in evaluation.slices.items()
        },
        baselines={
            name: part if name in _FIXED else cleared(part)
            for name, part in evaluation.baselines.items()
        },
        notes=(*evaluation.notes, f"Figures at the threshold are unknown: {note}."),
        curve=None,
        answer_curve=None,
        # Cut-offs of early exit hold for one threshold, and so does the verdict.
        early={},
        robustness={},
        sessions={},
        answer=None,
        verdict=None,
        # It was about the old threshold.
        findings=tuple(
            finding for finding in evaluation.findings if finding.name != "threshold_on_judged_data"
        ),
    )


def metrics_text(evaluation: Evaluation) -> str:
    """Return metrics.json as text: one line an entry, and one line a column of numbers."""
    # An indented file has a line for each of some thousand numbers; a column is read as one.
    text = json.dumps(evaluation.as_dict(), indent=2, ensure_ascii=False, allow_nan=False)
    return (
        _NUMBERS.sub(
            lambda column: re.sub(r"\s+", " ", column[0]).replace("[ ", "[").replace(" ]", "]"),
            text,
        )
        + "\n"
    )


def write_metrics(evaluation: Evaluation, path: Path) -> None:
    """Write metrics.json; a reader sees the old file or the whole new one, never a part."""
    with whole_file(path) as file:
        file.write(metrics_text(evaluation))


def read_metrics(path: Path) -> Evaluation:
    """Read metrics.json.

    Raises
    ------
    RunError
        If the file is missing, damaged or of a format this version does not know.
    """
    try:
        return Evaluation.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise RunError(
            f"metrics file must be readable: got {str(path)!r} ({error.strerror}). Run difficulty"
            " evaluate."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = (
            f"it lacks {error}"
            if isinstance(error, KeyError)
            else str(error)
            if isinstance(error, ValueError)
            else "it is not what difficulty evaluate writes"
        )
        raise RunError(
            f"metrics file {str(path)!r} cannot be used: {reason}. Run difficulty evaluate again."
        ) from error


def _optional(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts that older files do not have."""
    curve, histogram = content.get("curve"), content.get("histogram")
    answers = content.get("answer_curve")
    baselines = content.get("baseline_curves", {})
    return {
        "curve": Curve.from_dict(curve) if curve else None,
        "answer_curve": Curve.from_dict(answers) if answers else None,
        # Tuples again, so that what was read equals what was written.
        "baseline_curves": {
            name: {key: tuple(part) for key, part in columns.items()}
            for name, columns in baselines.items()
        },
        "calibration": {
            name: CalibrationBins.from_dict(bins)
            for name, bins in content.get("calibration", {}).items()
        },
        "histogram": Histogram.from_dict(histogram) if histogram else None,
        "findings": tuple(Finding(**finding) for finding in content.get("findings", ())),
        "lineage": content.get("lineage", {}),
        "verdict": SwitchVerdict.from_dict(said) if (said := content.get("verdict")) else None,
        "measured_by": dict(content.get("measured_by", {})),
        "answer": CheckFigures.from_dict(part) if (part := content.get("answer")) else None,
        "robustness": {
            name: _estimates(part) for name, part in content.get("robustness", {}).items()
        },
        "sessions": _estimates(content.get("sessions", {})),
        "early": {kind: _estimates(part) for kind, part in content.get("early", {}).items()},
    }


def _estimates(content: Mapping[str, Mapping[str, Any]]) -> dict[str, Estimate]:
    return {name: Estimate(**fields) for name, fields in content.items()}
