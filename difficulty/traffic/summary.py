"""What an ingest counts: rows read, kept and rejected, what is known of them, and what a person
should look at before training.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from difficulty.errors import TrafficError
from difficulty.form import Record
from difficulty.records import ANSWERS, COSTS, OUTCOMES, TOKEN_COUNTS, Sample
from difficulty.text import TextView, part_text, quantity_text
from difficulty.traffic.duplicates import INSTRUCTIONS, Grouper, comparable_text
from difficulty.traffic.hashes import HashTable, hash_of
from difficulty.traffic.labels import SourceReport
from difficulty.traffic.outcomes import GAIN_OF_VOTE, VALIDATORS
from difficulty.traffic.readers import RawRow
from difficulty.traffic.reading.column_names import nearest_columns
from difficulty.traffic.rows import FIELDS, ParsedRow, broken_rule

# Of a recipe's defaults: what recipe will train is not known yet.
_VIEW = TextView()
# Tasks and pairs that the file lists; a column of free text must not fill it.
_MOST_LISTED = 200
_FEW_SAMPLES = 200
_LARGE_GROUP = 0.2
_MANY_REJECTS = 0.1
_NOT_READ = "these columns are not read"
_NO_OUTCOMES = ("frontier_passed",)
"""Kept from decision logs: an answer of the right form is not therefore good."""
_OUTCOME = re.compile(r"quality|score|correct|rating|grade|accura|passed|verdict", re.IGNORECASE)
"""Names of columns that may say how good an answer was."""
_MOST_REJECTED = 0.2  # share; beyond, the rest may be another traffic than the one that was meant
_COUNTED = (*OUTCOMES, *TOKEN_COUNTS, *COSTS, *ANSWERS, "tools")
_SUMS = (
    *("kept", "generated_ids", "repaired_messages", "cut", "contaminated", "unknown_policy"),
    *("odd_counts", "unlabelled"),
)
_COUNTERS = ("filled", "tasks", "model_pairs", "seen_alone", "measured_by", "gains")
_MOST_REASONS = 4  # that are told
_REPEATED = "id must be unique"
_JOIN_CALLS = (
    " Where each row is one call, rows of a request are joined by --pivot"
    " request=id,model=COLUMN,quality=COLUMN, which 'difficulty ingest FILE --suggest' proposes."
)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Summary(Record):
    """What an ingest read, kept and found; rates are shares in [0, 1], ``None`` where nothing is
    known.
    """

    formats: dict[str, int]
    """Number of files read in each format."""
    rows: int
    kept: int
    joined: int
    """Rows that became one with another row of the same request; ``rows`` = kept + rejected +
    joined + those of ``left_out``.
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
    measured_by: dict[str, int] = field(default_factory=dict)
    """What outcomes were measured by, with the rows that say so, most frequent first."""
    known_answers: dict[str, int] = field(default_factory=dict)
    """Kept rows that hold each model's answer, and those that say which tools were offered."""
    known_costs: dict[str, int] = field(default_factory=dict)
    """Kept rows of which is known what each model's answer was billed."""
    billed_usd: dict[str, float] = field(default_factory=dict)
    """Sums of those bills."""
    unlabelled: int = 0
    """Kept rows of which no outcome is known."""
    unknown_policy: int = 0
    """Kept rows with the outcome of one model that was called for nobody knows what reason."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Why rows are left out on purpose, with their number, most frequent first."""
    dialects: dict[str, int] = field(default_factory=dict)
    """What text files are written in where that is unusual, with the number of files."""
    labels: tuple[dict[str, Any], ...] = ()
    """What each label source found, in the order in which they were applied."""
    warnings: tuple[str, ...] = ()

    @property
    def may_hold_outcomes(self) -> bool:
        """Whether columns that were not read may be what is known of the models."""
        return any(_NOT_READ in warning for warning in self.warnings)


@dataclass(slots=True)
class _Qualities:
    """Running mean and range."""

    n: int = 0
    total: float = 0.0
    low: float = 1.0
    high: float = 0.0
    values: array[float] = field(default_factory=lambda: array("d"))
    """Of a block, so that those of all blocks are added up one by one, as if there were none."""

    def add(self, value: float) -> None:
        self.values.append(value)

    def take(self, other: _Qualities) -> None:
        """Add the values of a block."""
        for value in other.values:
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
    odd_counts: int = 0
    unlabelled: int = 0
    formats: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    dialects: dict[str, int] = field(default_factory=dict)
    first_rejects: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Where the first row that broke each rule stands: source and line."""
    filled: Counter[str] = field(default_factory=Counter)
    tasks: Counter[str] = field(default_factory=Counter)
    model_pairs: Counter[str] = field(default_factory=Counter)
    names: set[tuple[str | None, str | None]] = field(default_factory=set)
    """Pairs of models as rows name them."""
    seen_alone: Counter[str] = field(default_factory=Counter)
    """Model to rows without a route that know what it did, name it, and do not name the other."""
    measured_by: Counter[str] = field(default_factory=Counter)
    columns: dict[str, None] = field(default_factory=dict)
    cheap: _Qualities = field(default_factory=_Qualities)
    frontier: _Qualities = field(default_factory=_Qualities)
    gains: Counter[str] = field(default_factory=Counter)
    bills: dict[str, array[float]] = field(
        default_factory=lambda: {name: array("d") for name in COSTS}
    )
    billed: dict[str, float] = field(default_factory=lambda: dict.fromkeys(COSTS, 0.0))

    def take(self, block: Tally) -> None:
        """Add what was counted of the kept rows of a block."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(block, name))
        for name in _COUNTERS:
            getattr(self, name).update(getattr(block, name))
        self.names |= block.names
        self.cheap.take(block.cheap)
        self.frontier.take(block.frontier)
        for name, bills in block.bills.items():
            for usd in bills:
                self.billed[name] += usd

    def keep(self, row: ParsedRow) -> None:
        """Count a kept row of a block; :meth:`take` adds blocks up."""
        sample = row.sample
        self.kept += 1
        self.generated_ids += row.generated_id
        self.repaired_messages += row.repaired
        self.odd_counts += row.odd_counts
        # Newlines between messages count too; of most requests nothing need be joined to know.
        size = sum(len(message.content) + 1 for message in sample.messages)
        if size > _VIEW.max_chars:
            contents = [{"content": message.content} for message in sample.messages]
            self.cut += _VIEW(contents).truncated
        # Formats write true, CSV "true" or 1.
        self.contaminated += str(sample.extra.get("contaminated")).lower() in ("true", "1")
        for name in _COUNTED:
            if getattr(sample, name) is not None:
                self.filled[name] += 1
        for name in COSTS:
            if usd := getattr(sample, name):
                self.bills[name].append(usd)
        self.tasks[sample.task or ""] += 1
        self.unlabelled += not sample.has_outcome
        if sample.measured_by is not None and sample.has_outcome:
            self.measured_by[sample.measured_by] += 1
        self.names.add((sample.cheap_model, sample.frontier_model))
        if sample.cheap_model or sample.frontier_model:
            self.model_pairs[f"{sample.cheap_model or '?'} / {sample.frontier_model or '?'}"] += 1
        self._keep_outcomes(sample)

    def reject(self, reason: str, row: RawRow) -> None:
        """Count a rejected row by the rule it broke."""
        rule = broken_rule(reason)
        self.rejected[rule] += 1
        self.first_rejects.setdefault(rule, (row.source, row.line))

    def _keep_outcomes(self, sample: Sample) -> None:
        cheap = sample.cheap_quality
        if cheap is None and sample.cheap_passed is not None:
            cheap = float(sample.cheap_passed)
        if cheap is not None:
            self.cheap.add(cheap)
        if sample.frontier_quality is not None:
            self.frontier.add(sample.frontier_quality)
        gain = GAIN_OF_VOTE.get(sample.preference or "")
        if cheap is not None and sample.frontier_quality is not None:
            self.filled["both"] += 1
            # As in training, see Outcomes.gain.
            gain = 0.0 if sample.preference == "tie" else sample.frontier_quality - cheap
        # A row with both outcomes or a vote was looked at whatever the route was.
        self.unknown_policy += (
            sample.route is not None
            and sample.propensity is None
            and sample.has_outcome
            and gain is None
        )
        alone = sample.route is None and sample.has_outcome and gain is None
        if alone and (sample.cheap_model is None) != (sample.frontier_model is None):
            self.seen_alone["frontier" if sample.cheap_model is None else "cheap"] += 1
        if gain is not None:
            better = "tie" if gain == 0 else "frontier" if gain > 0 else "cheap"
            self.gains[better] += 1

    def refuse_nothing_kept(self) -> None:
        """Raise ``TrafficError`` with the most common reason when no row was kept."""
        if self.kept:
            return
        if not self.rejected:
            raise TrafficError(
                f"traffic must hold at least one usable row: got {self.rows:,}, all left out:"
                f" {'; '.join(self.left_out)}."
            )
        reason, times = self.rejected.most_common(1)[0]
        columns = ", ".join(list(self.columns)[:20]) or "none"
        # Only where that is what is missing.
        unread = reason.startswith("messages or prompt must be given")
        near = _nearest_request(self.columns) if unread else ""
        raise TrafficError(
            f"traffic must hold at least one usable row: got {self.rows:,}, all rejected, {times:,}"
            f" of them because {reason}. Columns found: {columns}.{near}"
            " See docs/traffic.md for the columns that are read, or let 'difficulty ingest FILE"
            " --suggest' propose what they mean."
        )

    def refuse_many_rejects(self) -> None:
        """Raise ``TrafficError`` with the reasons when more than a fifth of the rows are
        rejected.
        """
        total = self.rejected.total()
        if total <= _MOST_REJECTED * self.rows:
            return
        told = self.rejected.most_common(_MOST_REASONS)
        reasons = "; ".join(f"{n:,} because {rule}" for rule, n in told)
        source, line = self.first_rejects[told[0][0]]
        more = len(self.rejected) - len(told)
        rest = f"; and {more} more reasons" if more else ""
        # What a table of one row a call looks like to a reader of one row a request.
        calls = _JOIN_CALLS if told[0][0] == _REPEATED else ""
        raise TrafficError(
            f"at most 20 % of the rows may be left out: got {total:,} of {self.rows:,} rejected,"
            f" {reasons}{rest}; the first is line {line:,} of {source}. Nothing was written."
            f"{calls} Mend them, or pass --allow-rejects to go on without them."
        )

    def summary(
        self,
        grouper: Grouper,
        *,
        contradictions: int = 0,
        labels: Sequence[SourceReport] = (),
        notes: Sequence[str] = (),
    ) -> Summary:
        """Return the closed counts."""
        compared = self.gains.total()
        shares = {name: self.gains[name] / compared if compared else None for name in GAIN_OF_VOTE}
        return Summary(
            formats=dict(self.formats),
            rows=self.rows,
            kept=self.kept,
            joined=self.rows - self.kept - self.rejected.total() - self.left_out.total(),
            rejected=dict(self.rejected.most_common()),
            generated_ids=self.generated_ids,
            repaired_messages=self.repaired_messages,
            cut=self.cut,
            known_outcomes={name: self.filled[name] for name in (*OUTCOMES, "both")},
            known_tokens={name: self.filled[name] for name in TOKEN_COUNTS},
            cheap_quality=self.cheap.mean,
            frontier_quality=self.frontier.mean,
            frontier_better=shares["frontier"],
            cheap_better=shares["cheap"],
            tied=shares["tie"],
            exact_duplicates=grouper.exact_duplicates,
            near_duplicates=grouper.near_duplicates,
            contradictions=contradictions,
            groups=grouper.n_groups,
            largest_group=grouper.largest_group,
            contaminated=self.contaminated,
            tasks=dict(self.tasks.most_common(_MOST_LISTED)),
            model_pairs=dict(self.model_pairs.most_common(_MOST_LISTED)),
            measured_by=dict(self.measured_by.most_common(_MOST_LISTED)),
            known_answers={name: self.filled[name] for name in (*ANSWERS, "tools")},
            known_costs={name: self.filled[name] for name in COSTS},
            billed_usd={name: self.billed[name] for name in COSTS},
            unlabelled=self.unlabelled,
            unknown_policy=self.unknown_policy,
            left_out=dict(self.left_out.most_common(_MOST_LISTED)),
            dialects=self.dialects,
            labels=tuple({"source": report.source, **report.counts} for report in labels),
            warnings=(
                *(warning for report in labels for warning in report.warnings),
                *notes,
                *_warnings(self, grouper),
            ),
        )


def _nearest_request(columns: Iterable[str]) -> str:
    """Return which column may be the request, where none has its name."""
    names = list(columns)
    near = [name for name in nearest_columns("prompt", names) if not name.lower().endswith("id")]
    if not near or {"prompt", "messages"}.intersection(names):
        return ""
    return f" No column 'prompt'. Nearest: {near[0]!r:.80}; --map prompt=\"{near[0]:.80}\"."


def _unread(tally: Tally) -> Iterator[str]:
    """Say where nothing is known of either model, and name columns that may hold it."""
    if tally.unlabelled == tally.kept:
        yield (
            "no row has an outcome: this is unlabelled traffic, for score, route, economics,"
            " thresholds by share or cost and evaluate --unlabelled; to train, add outcomes with"
            " 'difficulty outcomes'"
        )
    for model in ("cheap", "frontier"):
        if tally.filled[f"{model}_quality"] or tally.filled["preference"]:
            continue
        if model == "cheap" and tally.filled["cheap_passed"]:
            continue
        unread = [
            name
            for name in tally.columns
            if name not in FIELDS and name not in _NO_OUTCOMES and _OUTCOME.search(name)
        ]
        if unread:
            hint = (
                f' --map {model}_quality="{unread[0]:.80}"'
                if len(unread) == 1
                else f" --map {model}_quality=COLUMN"
            )
            yield (
                f"nothing is known of the {model} model, and {_NOT_READ}:"
                f" {', '.join(f'{name!r:.80}' for name in unread[:5])}; the column of its outcome"
                f" is {model}_quality: pass{hint}, --pivot where a row is a call, or see what"
                " --suggest proposes"
            )


def _warnings(tally: Tally, grouper: Grouper) -> Iterator[str]:
    """Yield what a person should look at before training."""
    if tally.kept < _FEW_SAMPLES:
        yield (
            f"only {quantity_text(tally.kept, 'sample')}: intervals will be wide, and"
            " calibration needs some"
            " hundreds"
        )
    if (rejected := tally.rejected.total()) > _MANY_REJECTS * tally.rows:
        told = part_text(rejected, tally.rows, "row", "was", "were")
        yield f"{told} rejected: read the rejects file"
    # A log of calls names one model a row: the other is not told there, and is no other pair.
    sides = [{pair[side] for pair in tally.names} - {None} for side in (0, 1)]
    if max(map(len, sides)) > 1:
        yield "the traffic names more than one pair of models: train on one pair at a time"
    yield from _chosen(tally)
    yield from _checked(tally)
    yield from _unread(tally)
    # Five equal requests among twenty are no template.
    if (largest := grouper.largest_group) > max(_LARGE_GROUP * tally.kept, 5):
        yield (
            f"one group holds {largest:,} of {quantity_text(tally.kept, 'sample')} and will sit"
            " in one split: put"
            " a shared template into the system message, or ingest without near-duplicates"
        )
    better, worse = tally.gains["frontier"], tally.gains["cheap"]
    if worse > better:
        yield (
            "the frontier model does worse than the cheap one more often"
            f" ({quantity_text(worse, 'row')}) than"
            f" better ({better:,}): check that the two columns are not swapped"
        )
    if tally.gains["tie"] and not better and not worse:
        yield "both models do equally well on every sample: there is nothing to route"
    for name, values in (("cheap", tally.cheap), ("frontier", tally.frontier)):
        if values.n and values.low == values.high:
            yield (
                f"the {name} model has quality {values.low:g} on every sample: one class, nothing"
                " to learn from it"
            )


def _odd(tally: Tally) -> Iterator[str]:
    if tally.odd_counts:
        yield (
            f"{tally.odd_counts:,} token counts are no counts (below 0, above 100 million, a"
            " fraction or a word): they are taken as unknown, and kept beside the outcomes"
        )


def _chosen(tally: Tally) -> Iterator[str]:
    """Yield what the choice of the called model leaves open."""
    if tally.unknown_policy:
        yield (
            f"{quantity_text(tally.unknown_policy, 'row names', 'rows name')} a route without"
            " its propensity and only one"
            " model: what is seen only where an unknown policy chose to look is biased, and"
            " training refuses it"
        )
    yield from _odd(tally)
    if len(tally.seen_alone) > 1:
        told = " and ".join(f"{n:,} of the {name}" for name, n in tally.seen_alone.most_common())
        yield (
            f"{told} model's outcomes are of the calls that a log made: on other requests the model"
            " may do otherwise. Label both models on some requests, chosen by chance"
        )


def _checked(tally: Tally) -> Iterator[str]:
    """Yield what verdicts of validators leave open."""
    checked = {
        name: n for name, n in tally.measured_by.items() if name.partition(":")[0] == VALIDATORS
    }
    if checked:
        names = ", ".join(sorted(checked))
        yield (
            f"the outcomes of {quantity_text(sum(checked.values()), 'row')} come from verdicts of"
            f" {names}: an answer"
            " that passed has the right form, which does not say that it is right"
        )


class RequestOutcomes(NamedTuple):
    """What became of the requests of a block that have an outcome."""

    keys: array[int]
    """64 bits that stand for the text of all messages and the two models."""
    numbers: array[int]
    """Which of the outcomes each has."""
    outcomes: list[tuple[object, ...]]


def request_outcomes(samples: Sequence[Sample], texts: Sequence[str]) -> RequestOutcomes:
    """Return the outcomes of samples, whose :func:`comparable_text` is known."""
    outcomes: dict[tuple[object, ...], int] = {}
    keys, numbers = array("Q"), array("I")
    for sample, text in zip(samples, texts, strict=True):
        if sample.has_outcome:
            keys.append(_key(sample, text))
            told = tuple(getattr(sample, name) for name in OUTCOMES)
            numbers.append(outcomes.setdefault(told, len(outcomes)))
    return RequestOutcomes(keys, numbers, list(outcomes))


class Contradictions:
    """Count the samples of a stream that contradict an earlier one.

    Attributes
    ----------
    count : int
        Samples of which an outcome differs from the one that was known first of the same request
        and models.
    """

    def __init__(self) -> None:
        self.count = 0
        self._first = HashTable()
        # Outcomes are few different ones, and are kept once.
        self._outcomes: list[tuple[object, ...]] = []
        self._numbers: dict[tuple[object, ...], int] = {}

    def add(self, block: RequestOutcomes) -> None:
        """Look at the next samples."""
        own = [self._number(outcomes) for outcomes in block.outcomes]
        for key, place in zip(block.keys, block.numbers, strict=True):
            number = own[place]
            first = self._first.setdefault(key, number)
            if first == number:  # nearly always, and says nothing new
                continue
            # What is known of a request is collected over its rows: each may hold another outcome.
            before, outcomes = self._outcomes[first], self._outcomes[number]
            pairs = list(zip(before, outcomes, strict=True))
            self.count += any(None not in pair and pair[0] != pair[1] for pair in pairs)
            together = tuple(old if old is not None else new for old, new in pairs)
            if together != before:
                self._first[key] = self._number(together)

    def _number(self, outcomes: tuple[object, ...]) -> int:
        number = self._numbers.setdefault(outcomes, len(self._outcomes))
        if number == len(self._outcomes):
            self._outcomes.append(outcomes)
        return number


def _key(sample: Sample, text: str) -> int:
    # All messages count, instructions too: with other tools it is another request.
    if any(message.role in INSTRUCTIONS for message in sample.messages):
        text = comparable_text(("user", message.content) for message in sample.messages)
    return hash_of(f"{sample.cheap_model}\n{sample.frontier_model}\n{text}")
