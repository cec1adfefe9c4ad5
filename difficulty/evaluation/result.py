"""The outcome of an evaluation, as metrics.json holds it.

Format 1 is the only one so far. To change the meaning of a part: raise ``FORMAT``, keep reading the
old one, and keep a file of it under test. A part that is added does not raise it: files without it
are read, and readers pass over what they do not know.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from difficulty.errors import InvalidValueError, RunError
from difficulty.evaluation.figures import WITHOUT_THRESHOLD
from difficulty.evaluation.findings import Finding
from difficulty.evaluation.scored import Target
from difficulty.evaluation.tradeoff import Curve
from difficulty.evaluation.views import AlongShare, CalibrationBins, Histogram
from difficulty.records import Estimate
from difficulty.storage import whole_file

FORMAT = 1

Estimates = Mapping[str, Estimate]
_NUMBERS = re.compile(r"\[\n[^\[\]{}\"]*\]")
"""A list without strings or parts; inside a string there is no line break, so none begins there."""
_FIXED = ("always_cheap", "always_frontier")
"""Baselines whose figures no threshold changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Every figure of one evaluation, each with its 95 % interval.

    Attributes
    ----------
    target : {"benefit", "failure"}
        What the score predicts.
    threshold : float or None
        Where the routing figures were taken.
    overall : mapping of str to Estimate
        Figures of all requests, by flat name.
    slices : mapping of str to mapping of str to mapping of str to Estimate
        Kind of slice, then slice, then figure.
    baselines : mapping of str to mapping of str to Estimate
        Baseline, then figure; ``apgr_difference`` and ``quality_difference`` are the score's figure
        minus the baseline's, on the same draws.
    counts : mapping of str to int
        How many requests were judged and what is known of them.
    notes : tuple of str
        What a reader has to know.
    n_draws : int
        Bootstrap draws behind the intervals.
    curve : Curve or None
        The routing figures at many thresholds, the operating one among them.
    baseline_curves : mapping of str to mapping of str to tuple of float
        ``score`` or baseline, then ``frontier_share``, ``quality``, ``cost``: columns along the
        share.
    calibration : mapping of str to CalibrationBins
        Reliability bins of ``p_cheap_fails`` and ``p_frontier_fails``.
    histogram : Histogram or None
        Scores by outcome.
    findings : tuple of Finding
        What the honesty checks found, the gravest first.
    lineage : mapping of str to object
        What was judged by what.
    early : mapping of str to mapping of str to Estimate
        Where a bundle has early exit: kind of request, ``with_task`` or ``without_task``, then
        ``asked``, the share that the scorer is asked about, and ``changed``, the share of decisions
        that differ from the scorer's. All other figures are the scorer's.
    """

    target: Target
    threshold: float | None
    overall: Estimates
    slices: Mapping[str, Mapping[str, Estimates]]
    baselines: Mapping[str, Estimates]
    counts: Mapping[str, int]
    notes: tuple[str, ...]
    n_draws: int
    curve: Curve | None = None
    baseline_curves: Mapping[str, AlongShare] = field(default_factory=dict)
    calibration: Mapping[str, CalibrationBins] = field(default_factory=dict)
    histogram: Histogram | None = None
    findings: tuple[Finding, ...] = ()
    lineage: Mapping[str, Any] = field(default_factory=dict)
    early: Mapping[str, Estimates] = field(default_factory=dict)

    def noting(self, notes: Sequence[str]) -> Evaluation:
        """Return the same figures with more notes."""
        return replace(self, notes=(*self.notes, *notes))

    def leaving_early(self, early: Mapping[str, Estimates]) -> Evaluation:
        """Return the same figures with what early exit does to them."""
        return replace(self, early=early)

    def descending_from(self, lineage: Mapping[str, Any]) -> Evaluation:
        """Return the same figures with what was judged by what."""
        return replace(self, lineage=lineage)

    def as_dict(self) -> dict[str, Any]:
        """Return exactly what metrics.json holds."""
        return {
            "format": FORMAT,
            "target": self.target,
            "threshold": self.threshold,
            "n_draws": self.n_draws,
            "counts": dict(self.counts),
            "notes": list(self.notes),
            "findings": [finding.as_dict() for finding in self.findings],
            "lineage": dict(self.lineage),
            "overall": _plain(self.overall),
            "slices": {
                kind: {name: _plain(part) for name, part in parts.items()}
                for kind, parts in self.slices.items()
            },
            "baselines": {name: _plain(part) for name, part in self.baselines.items()},
            "curve": self.curve.as_dict() if self.curve else None,
            "baseline_curves": {
                name: {key: list(part) for key, part in columns.items()}
                for name, columns in self.baseline_curves.items()
            },
            "calibration": {name: bins.as_dict() for name, bins in self.calibration.items()},
            "histogram": self.histogram.as_dict() if self.histogram else None,
            **(
                {"early": {kind: _plain(part) for kind, part in self.early.items()}}
                if self.early
                else {}
            ),
        }

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Evaluation:
        """Return the evaluation that :meth:`as_dict` wrote.

        Raises
        ------
        InvalidValueError
            If the format is not known.
        """
        if form.get("format") != FORMAT:
            raise InvalidValueError(
                "metrics format",
                form.get("format"),
                rule=f"be {FORMAT}",
                hint="Upgrade difficulty or evaluate again.",
            )
        return cls(
            target=form["target"],
            threshold=form["threshold"],
            n_draws=form["n_draws"],
            counts=dict(form["counts"]),
            notes=tuple(form["notes"]),
            overall=_estimates(form["overall"]),
            slices={
                kind: {name: _estimates(part) for name, part in parts.items()}
                for kind, parts in form["slices"].items()
            },
            baselines={name: _estimates(part) for name, part in form["baselines"].items()},
            **_optional(form),
        )


def without_threshold(evaluation: Evaluation, note: str) -> Evaluation:
    """Return an evaluation in which every figure at the threshold is unknown, for the reason
    ``note``.
    """

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
        early={},
        findings=tuple(
            finding for finding in evaluation.findings if finding.name != "threshold_on_judged_data"
        ),
    )


def metrics_text(evaluation: Evaluation) -> str:
    """Return metrics.json as text: one line an entry, and one line a column of numbers."""
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
    text = metrics_text(evaluation)
    with whole_file(path) as file:
        file.write(text)


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
        raise RunError(
            f"metrics file {str(path)!r} cannot be used: {error}. Run difficulty evaluate again."
        ) from error


def _optional(form: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts that older files do not have."""
    curve, histogram = form.get("curve"), form.get("histogram")
    baselines = form.get("baseline_curves", {})
    return {
        "curve": Curve.from_dict(curve) if curve else None,
        "baseline_curves": {
            name: {key: tuple(part) for key, part in columns.items()}
            for name, columns in baselines.items()
        },
        "calibration": {
            name: CalibrationBins.from_dict(bins)
            for name, bins in form.get("calibration", {}).items()
        },
        "histogram": Histogram.from_dict(histogram) if histogram else None,
        "findings": tuple(Finding.from_dict(finding) for finding in form.get("findings", ())),
        "lineage": form.get("lineage", {}),
        "early": {kind: _estimates(part) for kind, part in form.get("early", {}).items()},
    }


def _plain(estimates: Estimates) -> dict[str, dict[str, Any]]:
    return {name: estimate.as_dict() for name, estimate in estimates.items()}


def _estimates(form: Mapping[str, Mapping[str, Any]]) -> dict[str, Estimate]:
    return {name: Estimate(**fields) for name, fields in form.items()}
