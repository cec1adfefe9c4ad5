"""Write ingested traffic: Parquet with the rejects and the summary beside it, all of them or
none.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from difficulty.errors import DifficultyError, TrafficError
from difficulty.form import Record
from difficulty.records import Sample
from difficulty.storage import move_into_place, scratch_beside
from difficulty.text import TextView
from difficulty.traffic.duplicates import Grouper, Placement
from difficulty.traffic.labels import SourceReport
from difficulty.traffic.readers import RawRow
from difficulty.traffic.rows import ParsedRow, broken_rule
from difficulty.traffic.table import REJECTED_KEY, ROWS_KEY, SCHEMA, VERSION, VERSION_KEY, pa, pq

OUTCOMES = ("cheap_quality", "frontier_quality", "cheap_passed", "preference")
TOKENS = ("prompt_tokens", "cheap_tokens", "frontier_tokens")
_VIEW = TextView()
_MOST_LISTED = 200
_FEW_SAMPLES = 200
_LARGE_GROUP = 0.2
_MANY_REJECTS = 0.1
_GAIN_OF = {"frontier": 1.0, "tie": 0.0, "cheap": -1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary(Record):
    """What an ingest read, kept and found; rates are shares in [0, 1], ``None`` where nothing is
    known.
    """

    formats: dict[str, int]
    """Number of files read in each format."""
    rows: int
    kept: int
    joined: int
    """Rows that a label source joined with an earlier one of the same request; ``rows`` = kept +
    rejected + joined.
    """
    rejected: dict[str, int]
    """Rule to number of rows that broke it, most frequent first."""
    generated_ids: int
    """Kept rows that had no id and got one of file name and line."""
    repaired_messages: int
    """Kept messages in which lone surrogates became U+FFFD."""
    cut: int
    """Kept rows longer than the text view reads by default (8,192 characters): head and tail of
    those are scored.
    """
    known_outcomes: dict[str, int]
    """Kept rows of which each kind of outcome is known, and both qualities (``both``)."""
    known_tokens: dict[str, int]
    cheap_quality: float | None
    """Mean over the rows where it is known; a row with only ``cheap_passed`` counts as 1 or 0."""
    frontier_quality: float | None
    frontier_better: float | None
    """Share of the rows with both qualities or a preference where the frontier model did better; so
    for the next two.
    """
    cheap_better: float | None
    tied: float | None
    exact_duplicates: int
    """Kept rows whose text, normalised, was there before."""
    near_duplicates: int
    """Kept rows with a new text that is nearly one that was there before."""
    contradictions: int
    """Kept rows whose request came before, for the same models, with another outcome."""
    groups: int
    """Number of different keys of the split."""
    largest_group: int
    """Rows of the most frequent key."""
    contaminated: int
    """Kept rows marked ``contaminated``."""
    tasks: dict[str, int]
    """Kept rows of each task, most frequent first (at most 200 are listed); those without one under
    ``""``.
    """
    model_pairs: dict[str, int]
    """Kept rows of each ``cheap / frontier`` pair, most frequent first."""
    labels: tuple[dict[str, Any], ...] = ()
    """What each label source found, in the order in which they were applied."""
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class _Qualities:
    """Running mean and range."""

    n: int = 0
    total: float = 0.0
    low: float = 1.0
    high: float = 0.0

    def add(self, value: float) -> None:
        self.n += 1
        self.total += value
        self.low, self.high = min(self.low, value), max(self.high, value)

    @property
    def mean(self) -> float | None:
        return self.total / self.n if self.n else None


@dataclass(slots=True)
class Tally:
    """Running counts of an ingest; :meth:`summary` closes them."""

    rows: int = 0
    kept: int = 0
    generated_ids: int = 0
    repaired_messages: int = 0
    cut: int = 0
    contaminated: int = 0
    unknown_policy: int = 0
    formats: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    tasks: Counter[str] = field(default_factory=Counter)
    model_pairs: Counter[str] = field(default_factory=Counter)
    columns: dict[str, None] = field(default_factory=dict)
    cheap: _Qualities = field(default_factory=_Qualities)
    frontier: _Qualities = field(default_factory=_Qualities)
    gains: Counter[str] = field(default_factory=Counter)

    def keep(self, row: ParsedRow) -> None:
        """Count a kept row."""
        sample = row.sample
        self.kept += 1
        self.generated_ids += row.generated_id
        self.repaired_messages += row.repaired
        self.cut += _VIEW([{"content": message.content} for message in sample.messages]).truncated
        self.contaminated += str(sample.extra.get("contaminated")).lower() in ("true", "1")
        self.known.update(
            name for name in (*OUTCOMES, *TOKENS) if getattr(sample, name) is not None
        )
        self.tasks[sample.task or ""] += 1
        if sample.cheap_model or sample.frontier_model:
            self.model_pairs[f"{sample.cheap_model or '?'} / {sample.frontier_model or '?'}"] += 1
        self._keep_outcomes(sample)

    def reject(self, reason: str) -> None:
        """Count a rejected row by the rule it broke."""
        self.rejected[broken_rule(reason)] += 1

    def _keep_outcomes(self, sample: Sample) -> None:
        cheap = sample.cheap_quality
        if cheap is None and sample.cheap_passed is not None:
            cheap = float(sample.cheap_passed)
        if cheap is not None:
            self.cheap.add(cheap)
        if sample.frontier_quality is not None:
            self.frontier.add(sample.frontier_quality)
        gain = _GAIN_OF.get(sample.preference or "")
        if cheap is not None and sample.frontier_quality is not None:
            self.known["both"] += 1
            gain = 0.0 if sample.preference == "tie" else sample.frontier_quality - cheap
        self.unknown_policy += (
            sample.route is not None and sample.propensity is None and gain is None
        )
        if gain is not None:
            self.gains["frontier" if gain > 0 else "cheap" if gain < 0 else "tie"] += 1

    def refuse_nothing_kept(self) -> None:
        """Raise ``TrafficError`` with the most common reason when no row was kept."""
        if self.kept:
            return
        reason, times = self.rejected.most_common(1)[0]
        found = ", ".join(list(self.columns)[:20]) or "none"
        raise TrafficError(
            f"traffic must hold at least one usable row: got {self.rows:,}, all rejected, {times:,}"
            f" of them because {reason}. Columns found: {found}. See docs/traffic.md for the"
            " columns that are read."
        )

    def summary(
        self, grouper: Grouper, *, contradictions: int = 0, labels: Sequence[SourceReport] = ()
    ) -> Summary:
        """Return the closed counts."""
        rejected = sum(self.rejected.values())
        compared = sum(self.gains.values())
        shares = {
            name: self.gains[name] / compared if compared else None
            for name in ("frontier", "cheap", "tie")
        }
        return Summary(
            formats=dict(self.formats),
            rows=self.rows,
            kept=self.kept,
            joined=self.rows - self.kept - rejected,
            rejected=dict(self.rejected.most_common()),
            generated_ids=self.generated_ids,
            repaired_messages=self.repaired_messages,
            cut=self.cut,
            known_outcomes={name: self.known[name] for name in (*OUTCOMES, "both")},
            known_tokens={name: self.known[name] for name in TOKENS},
            cheap_quality=self.cheap.mean,
            frontier_quality=self.frontier.mean,
            frontier_better=shares["frontier"],
            cheap_better=shares["cheap"],
            tied=shares["tie"],
            exact_duplicates=grouper.exact_duplicates,
            near_duplicates=grouper.near_duplicates,
            contradictions=contradictions,
            groups=len(grouper.sizes),
            largest_group=max(grouper.sizes.values(), default=0),
            contaminated=self.contaminated,
            tasks=dict(self.tasks.most_common(_MOST_LISTED)),
            model_pairs=dict(self.model_pairs.most_common(_MOST_LISTED)),
            labels=tuple({"source": report.source, **report.found} for report in labels),
            warnings=(
                *(warning for report in labels for warning in report.warnings),
                *_warnings(self, grouper),
            ),
        )


def _warnings(tally: Tally, grouper: Grouper) -> list[str]:
    """Return what a person should look at before training."""
    largest, rejected = max(grouper.sizes.values(), default=0), sum(tally.rejected.values())
    checks = {
        (
            f"only {tally.kept:,} samples: intervals will be wide, and calibration needs some "
            "hundreds"
        ): tally.kept < _FEW_SAMPLES,
        f"{rejected:,} of {tally.rows:,} rows were rejected: read the rejects file": (
            rejected > _MANY_REJECTS * tally.rows
        ),
        "the traffic names more than one pair of models: train on one pair at a time": (
            len(tally.model_pairs) > 1
        ),
        (
            f"{tally.unknown_policy:,} rows name a route without its propensity and know only one "
            "model: what is seen only where an unknown policy chose to look is biased, and "
            "training refuses it"
        ): tally.unknown_policy > 0,
        (
            f"one group holds {largest:,} of {tally.kept:,} samples and will sit in one split: put "
            "a shared template into the system message, or ingest without near-duplicates"
        ): largest > max(_LARGE_GROUP * tally.kept, 5),
    }
    return [message for message, holds in checks.items() if holds] + _outcome_warnings(tally)


def _outcome_warnings(tally: Tally) -> list[str]:
    better, worse = tally.gains["frontier"], tally.gains["cheap"]
    compared = better + worse + tally.gains["tie"]
    found = []
    if worse > better:
        found.append(
            f"the frontier model does worse than the cheap one more often ({worse:,} rows) than"
            f" better ({better:,}): check that the two columns are not swapped"
        )
    if compared and not better and not worse:
        found.append("both models do equally well on every sample: there is nothing to route")
    for name, values in (("cheap", tally.cheap), ("frontier", tally.frontier)):
        if values.n and values.low == values.high:
            found.append(
                f"the {name} model has quality {values.low:g} on every sample: one class, nothing"
                " to learn from it"
            )
    return found


_GROUP_ROWS = 8_192
_GROUP_CHARS = 16 * 2**20
_SHOWN = 2_000  # characters of a rejected row
_COPIED = [
    name for name in SCHEMA.names if name not in ("messages", "extra", "split_group", "near_groups")
]


def rejects_path(out: Path) -> Path:
    """Return where the rejected rows of ``out`` go; the file exists only when there are some."""
    return out.with_name(f"{out.stem}.rejects.jsonl")


def summary_path(out: Path) -> Path:
    """Return where the summary of ``out`` goes."""
    return out.with_name(f"{out.stem}.summary.json")


class TrafficWriter:
    """Write samples and rejected rows as they come, into temporary files that :meth:`commit` moves
    into place.

    Use it as a context manager: leaving without a commit, by an error or Ctrl-C, removes the
    temporary files and leaves what was there before.
    """

    def __init__(self, out: Path) -> None:
        if out.suffix.lower() != ".parquet" or out.is_dir():
            raise TrafficError(
                f"ingested traffic must go to a .parquet file: got {str(out)!r}. Pass for example"
                " traffic.parquet."
            )
        self._out = out
        self._stack = ExitStack()
        self._samples: list[dict[str, Any]] = []
        self._chars = 0
        self.kept = 0
        self.rejected = 0

    def __enter__(self) -> Self:
        try:
            self._scratch = self._stack.enter_context(scratch_beside(self._out))
            self._rejects = self._unfinished(rejects_path(self._out)).open(
                "w", encoding="utf-8", newline="\n"
            )
        except OSError as error:
            self._stack.close()
            raise TrafficError(
                f"{str(self._out)!r} must be writable: {error}. Choose another folder."
            ) from error
        self._parquet = pq.ParquetWriter(self._unfinished(self._out), SCHEMA, compression="zstd")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):  # a full disk fails again here; what matters is the first error
            self._parquet.close()
            self._rejects.close()
        self._stack.close()
        if isinstance(error, OSError) and not isinstance(error, DifficultyError):
            raise TrafficError(
                f"{str(self._out)!r} must be writable: {error}. Free some space or choose another"
                " folder."
            ) from error

    def add(self, sample: Sample, placement: Placement) -> None:
        """Write a sample."""
        row = {name: getattr(sample, name) for name in _COPIED}
        row["messages"] = [
            {"role": message.role, "content": message.content} for message in sample.messages
        ]
        row["extra"] = _as_json(sample.extra) if sample.extra else None
        row["split_group"], row["near_groups"] = placement.split_group, list(placement.near_groups)
        self._samples.append(row)
        self.kept += 1
        self._chars += sum(len(message.content) for message in sample.messages)
        if len(self._samples) >= _GROUP_ROWS or self._chars >= _GROUP_CHARS:
            self._flush()

    def reject(self, row: RawRow, reason: str) -> None:
        """Write a row that is not used, with the reason."""
        fields = row.fields or {}
        shown = row.raw if row.fields is None else _as_json(fields)
        note = {
            "source": row.source,
            "line": row.line,
            "id": fields.get("id"),
            "reason": reason[:_SHOWN],
            "row": shown[:_SHOWN],
        }
        self._rejects.write(_as_json(note) + "\n")
        self.rejected += 1

    def commit(self, summary: Summary) -> None:
        """Finish the files and move them into place, the traffic last."""
        self._flush()
        self._parquet.add_key_value_metadata(
            {VERSION_KEY: str(VERSION), ROWS_KEY: str(self.kept), REJECTED_KEY: str(self.rejected)}
        )
        self._parquet.close()
        self._rejects.close()
        notes = summary_path(self._out)
        self._unfinished(notes).write_text(
            json.dumps(summary.as_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        if not self.rejected:
            rejects_path(self._out).unlink(missing_ok=True)  # of an earlier run
        for path in (*([rejects_path(self._out)] if self.rejected else []), notes, self._out):
            move_into_place(self._unfinished(path), path)

    def _flush(self) -> None:
        if self._samples:
            self._parquet.write_table(pa.Table.from_pylist(self._samples, schema=SCHEMA))
        self._samples, self._chars = [], 0

    def _unfinished(self, path: Path) -> Path:
        return self._scratch / path.name


def _as_json(value: Mapping[str, Any]) -> str:
    """Return one line of ASCII JSON; what JSON has no word for becomes text, so no column can stop
    an ingest.
    """
    try:
        return json.dumps(value, default=str, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        return json.dumps({str(name): repr(item) for name, item in value.items()})
