"""What a check says, and what the checks are told beside the figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from difficulty.errors import InvalidValueError
from difficulty.evaluation.judged import Judged
from difficulty.records import Estimate

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""The gravest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that a reader has to know before trusting the figures.

    Attributes
    ----------
    name : str
        Name of the check; see ``docs/metrics.md``.
    severity : {"error", "warning", "info"}
        ``error``: figures mislead, or routing by this score cannot be justified by them.
        ``warning``: they hold with a caveat. ``info``: what could not be checked, or was put right.
    message : str
        What was found and what to do, in a sentence or two.
    numbers : mapping of str to number
        What it rests on.
    """

    name: str
    severity: Severity
    message: str
    numbers: Mapping[str, float | int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise InvalidValueError(
                "severity", self.severity, rule=f"be one of {', '.join(SEVERITIES)}"
            )

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self) | {"numbers": dict(self.numbers)}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Finding:
        """Return the finding that :meth:`as_dict` wrote."""
        return cls(**form)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What is known of where the judged requests come from; counts are requests of the traffic
    file.

    Attributes
    ----------
    requests : int
        All requests of the file, before any was left out.
    own_traffic : bool
        Whether the file is the traffic that the scorer was trained on.
    seen : mapping of str to int, or None
        Requests left out because fitting or calibration saw them, by how that is known: ``same
        text``, ``same group``, ... None: not known, because a bundle remembers no samples.
    same_ids : int or None
        Judged requests that bear the id of a sample that training saw.
    threshold_rows : int or None
        Judged requests that are known to be among those on which the threshold was chosen; None:
        nothing is known, or no threshold.
    suspicious : int or None
        Judged requests in tasks or regions with suspicious labels, by the check at training; None:
        not known.
    selected : int
        Outcomes that were seen only where an unknown policy chose to look.
    certain : int
        Requests whose route was certain, so that the other model's outcome could not be seen.
    """

    requests: int
    own_traffic: bool
    seen: Mapping[str, int] | None = None
    same_ids: int | None = None
    threshold_rows: int | None = None
    suspicious: int | None = None
    selected: int = 0
    certain: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What a check may look at.

    Attributes
    ----------
    judged : Judged
    overall : mapping of str to Estimate
        Figures of all judged requests.
    counts : mapping of str to int
        ``counts`` of the evaluation.
    provenance : Provenance or None
        None where the caller knows nothing of the traffic, as in training, which judges its own
        test split.
    """

    judged: Judged
    overall: Mapping[str, Estimate]
    counts: Mapping[str, int]
    provenance: Provenance | None = None


def failing(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Return the errors and warnings: those that ``--strict`` does not let pass."""
    return tuple(finding for finding in findings if finding.severity != "info")
