"""The outcome of a replay, as ``replay.json`` holds it.

Format 1 is the only one so far. To change the meaning of a part: raise ``REPLAY_FORMAT``, keep
reading the old one, and keep a file of it under test. A part that is added does not raise it.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from difficulty.errors import LogError
from difficulty.form import Record, read_json
from difficulty.records import Estimate
from difficulty.replay.exploration_plan import PlannedExploration
from difficulty.storage import read_bounded, whole_file

REPLAY_FORMAT = 1
REPLAY_FILE = "replay.json"
_LARGEST = 1 << 24  # bytes

Estimates = Mapping[str, Estimate]


@dataclass(frozen=True, kw_only=True)
class ReplayCandidate(Record):
    """What was replayed."""

    kind: Literal["bundle", "threshold"]
    bundle: str | None = None
    """Name and version."""
    bundle_sha256: str | None = None
    """Of the whole folder, as registries know it."""
    threshold: float | None = None
    task_thresholds: Mapping[str, float] = field(default_factory=dict)
    answer_threshold: float | None = None

    @property
    def title(self) -> str:
        """What it is, for people."""
        if self.kind == "bundle":
            return f"bundle {self.bundle}"
        cuts = [] if self.threshold is None else [f"threshold {self.threshold:g}"]
        cuts += [f"threshold {cut:g} for {task}" for task, cut in self.task_thresholds.items()]
        if self.answer_threshold is not None:
            cuts.append(f"threshold {self.answer_threshold:g} of the check of answers")
        return ", ".join(cuts)


@dataclass(frozen=True, kw_only=True)
class ReplayPlan(Record):
    """What would make the difference of quality known to a wanted width."""

    width: float
    width_now: float | None
    """Of the interval that this log gives; ``None``: it gives none."""
    ways: tuple[PlannedExploration, ...]


@dataclass(frozen=True, kw_only=True)
class ReplayResult(Record):
    """Every figure of one replay, each with its 95 % interval."""

    candidate: ReplayCandidate
    log: Mapping[str, Any]
    """What was read: counts of events, first and last time, bundles."""
    counts: Mapping[str, int]
    """How many requests were replayed, why others were not, and what is known of them."""
    overall: Estimates
    """The candidate's figures, by the names of metrics.json."""
    logged: Estimates
    """The logged rule's, without its exploration."""
    difference: Estimates
    """The candidate minus the logged rule, its interval that of the difference."""
    estimators: Mapping[str, Estimates]
    """Figure, then estimator; ``naive`` is the mean of the requests that happened to agree."""
    outcomes: Mapping[str, float]
    """Figure to the equally weighted outcomes that carry the difference."""
    unsupported: Mapping[str, float]
    """Figure to the share of the requests whose outcome under the candidate could not be seen, 0
    where no outcome is known at all; ``route``: of which nothing could be seen.
    """
    findings: tuple[str, ...]
    """What is wrong, or to be looked at, a sentence each."""
    assumptions: tuple[str, ...]
    """What the figures rest on, a sentence each."""
    sentence: str
    """The result in one sentence."""
    next_step: str
    """The command that comes next."""
    plan: ReplayPlan | None = None

    @property
    def is_supported(self) -> bool:
        """Whether the log could see what the candidate does, and what is told of its quality."""
        # A model whose cost nobody knows is no fault of the routes.
        return not any(self.unsupported[name] for name in ("route", "quality", "risk"))

    def as_dict(self, *, without: Container[str] = ()) -> dict[str, Any]:
        """Return exactly what replay.json holds."""
        written = super().as_dict(without=without)
        if self.plan is None:
            written.pop("plan", None)
        return {"format": REPLAY_FORMAT, "supported": self.is_supported} | written


@dataclass(frozen=True, kw_only=True)
class ReplayEvidence:
    """What a promotion reads of a replay.

    Attributes
    ----------
    bundle_sha256 : str or None
        Of the bundle that was replayed; None: a threshold was.
    bundle_versions : tuple of str
        Bundles that decided the requests of the log.
    supported : bool
    requests : int
    outcomes : int
        Requests with a known quality.
    overall, logged, difference : mapping of str to Estimate
    """

    bundle_sha256: str | None
    bundle_versions: tuple[str, ...]
    supported: bool
    requests: int
    outcomes: int
    overall: Estimates
    logged: Estimates
    difference: Estimates


def write_replay(result: ReplayResult, folder: Path, page: str) -> None:
    """Write replay.json and replay.md; a reader sees whole files."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result.as_dict(), indent=2, ensure_ascii=False, allow_nan=False)
    for name, content in ((REPLAY_FILE, text + "\n"), ("replay.md", page)):
        with whole_file(folder / name) as file:
            file.write(content)


def read_replay(folder: Path) -> ReplayEvidence:
    """Read what ``difficulty replay -o`` wrote.

    Raises
    ------
    LogError
        If there is none, it is damaged, or of a format that this version does not know.
    """
    path = folder / REPLAY_FILE if folder.is_dir() else folder
    try:
        content = read_json(read_bounded(path, most=_LARGEST))
        if content.get("format") != REPLAY_FORMAT:
            raise LogError(
                f"replay of format {content.get('format')!r:.40} is not known: this version reads"
                f" {REPLAY_FORMAT}. Upgrade difficulty, or replay again."
            )
        return ReplayEvidence(
            bundle_sha256=content["candidate"]["bundle_sha256"],
            bundle_versions=tuple(map(str, content["log"]["bundle_versions"])),
            supported=bool(content["supported"]),
            requests=int(content["counts"]["requests"]),
            outcomes=int(content["counts"]["with_quality"]),
            **{
                part: {name: Estimate(**figure) for name, figure in content[part].items()}
                for part in ("overall", "logged", "difference")
            },
        )
    except OSError as error:
        raise LogError(
            f"replay must be a folder that 'difficulty replay -o' wrote: got {str(folder)!r}"
            f" ({error.strerror}). Check the path."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, LogError):
            raise
        raise LogError(
            f"replay {str(path)!r} cannot be used: {error!r:.120}. Replay again."
        ) from error
