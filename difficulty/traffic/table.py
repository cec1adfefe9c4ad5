"""Ingested traffic as training and evaluation use it: columns, not records, so that a million
samples fit in memory; and the split of its samples.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from difficulty.conversation.request_numbers import numbers_of
from difficulty.engine import Engine
from difficulty.errors import TrafficError, TrafficNotFoundError
from difficulty.kinds import PathKind, mistaken
from difficulty.metrics.arrays import FloatArray
from difficulty.records import COSTS, OUTCOMES, TOKEN_COUNTS
from difficulty.text import TextView, View
from difficulty.tokens import RequestTokenizer, TokenRows, flattened, pick
from difficulty.traffic.duplicates import bare_key, comparable_text, text_hash
from difficulty.traffic.outcomes import GAIN_OF_VOTE, VALIDATORS, VOTES, Outcomes, without_checks
from difficulty.traffic.stored import text_columns
from difficulty.traffic.stored.content_hash import hash_of
from difficulty.traffic.stored.splits import assign_splits
from difficulty.traffic.stored.text_columns import (
    ANSWERED,
    ASKED,
    TEXTS,
    TextColumns,
    answered_of,
    as_sent,
    asked_of,
    is_large,
    marked_messages,
)
from difficulty.traffic.stored.token_reading import read_tokens
from difficulty.views.marks import stored_marks

if TYPE_CHECKING:
    import pyarrow

pa, pq = text_columns.pa, text_columns.pq

VERSION = 1
"""Raised when a reader of the old number would misread a column."""
VERSION_KEY = b"difficulty.traffic.version"
ROWS_KEY = b"difficulty.traffic.rows"
REJECTED_KEY = b"difficulty.traffic.rejected"

# Large strings: a column may hold more than 2 GiB of text.
_MESSAGE = pa.struct([("role", pa.string()), ("content", pa.large_string())])
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("messages", pa.list_(_MESSAGE), nullable=False),
        ("task", pa.string()),
        ("group", pa.string()),
        ("timestamp", pa.timestamp("us", tz="UTC")),
        ("cheap_model", pa.string()),
        ("frontier_model", pa.string()),
        ("cheap_quality", pa.float64()),
        ("frontier_quality", pa.float64()),
        ("cheap_passed", pa.bool_()),
        ("preference", pa.string()),
        ("prompt_tokens", pa.int64()),
        ("cheap_tokens", pa.int64()),
        ("frontier_tokens", pa.int64()),
        ("cached_tokens", pa.int64()),
        ("cheap_cost_usd", pa.float64()),
        ("frontier_cost_usd", pa.float64()),
        ("route", pa.string()),
        ("propensity", pa.float64()),
        ("measured_by", pa.string()),
        ("cheap_answer", pa.large_string()),
        ("frontier_answer", pa.large_string()),
        ("tools", pa.large_string()),
        ("inclusion", pa.float64()),
        ("marks", pa.list_(pa.string())),
        pa.field("weight", pa.float64(), nullable=False),
        ("extra", pa.large_string()),
        pa.field("split_group", pa.string(), nullable=False),
        pa.field("near_groups", pa.list_(pa.string()), nullable=False),
    ]
)

# Files without these are read as if nothing were known, and their content has the same hash.
_ADDED_LATER = (
    *("measured_by", "cheap_answer", "frontier_answer", "tools"),
    *("cached_tokens", "cheap_cost_usd", "frontier_cost_usd", "inclusion", "marks"),
)

_GROUP_ROWS = 4_096
_BATCH_ROWS = 4_096  # fixed for good: the hash of the data is taken batch by batch


class Tokens(NamedTuple):
    """Token counts of n requests, arrays of shape (n,); NaN where unknown."""

    prompt: FloatArray
    cheap: FloatArray
    frontier: FloatArray
    cached: FloatArray | None = None
    """Of the prompt, tokens that the provider read from its cache; ``None``: no request says."""

    @property
    def cached_share(self) -> float | None:
        """Share of the prompt tokens that came from the cache, of requests that say both; ``None``
        where none does.
        """
        if self.cached is None:
            return None
        said = ~np.isnan(self.cached + self.prompt)
        prompt = float(self.prompt[said].sum())
        return float(self.cached[said].sum()) / prompt if prompt else None


class Bill(NamedTuple):
    """USD billed for either model's answer to n requests, arrays of shape (n,); NaN where
    unknown.
    """

    cheap: FloatArray
    frontier: FloatArray


class Traffic:
    """Labelled traffic that ``difficulty ingest`` wrote; read it with :meth:`read`.

    Rows keep the order of the file. Texts stay in Arrow memory until asked for, those of large
    files in the file.
    """

    def __init__(
        self,
        table: pyarrow.Table,
        *,
        texts: TextColumns | None = None,
        factor: FloatArray | None = None,
        requests: FloatArray | None = None,
    ) -> None:
        self._table, self._texts = table, texts
        self._factor, self._requests = factor, requests

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the traffic in an ingested file.

        Raises
        ------
        TrafficNotFoundError
            If nothing is there.
        TrafficError
            If the file was not written by ``ingest``, is damaged, or is of a newer version.
        """
        if not path.exists():
            raise TrafficNotFoundError(
                f"traffic file must exist: got {str(path)!r}. Check the path."
            )
        try:
            # The footer first: a file of another kind is refused without reading its rows.
            file = pq.ParquetFile(path)
            _check_metadata(path, file.metadata.metadata or {}, file.metadata.num_rows)
            texts = TextColumns(file) if is_large(file) else None
            names = [name for name in SCHEMA.names if texts is None or name not in TEXTS]
            table = _with_later_columns(file.read(columns=names), names)
        except (pa.ArrowException, OSError) as error:
            raise TrafficError(_not_ingested(path, "something else or damaged")) from error
        if table.schema.names != names or "messages" not in file.schema_arrow.names:
            raise TrafficError(_not_ingested(path, f"columns {table.schema.names}"))
        return cls(table, texts=texts)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @cached_property
    def ids(self) -> list[str]:
        """Ids of the samples."""
        return self._list("id")

    @cached_property
    def tasks(self) -> list[str | None]:
        """Task of each sample, ``None`` where unknown."""
        return self._list("task")

    @cached_property
    def split_groups(self) -> list[str]:
        """Key of each sample: samples with one key share a split."""
        return self._list("split_group")

    @cached_property
    def near_groups(self) -> list[list[str]]:
        """Other keys each sample is tied to."""
        return self._list("near_groups")

    @cached_property
    def outcomes(self) -> Outcomes:
        """What is known of both models, NaN where nothing is."""
        cheap, passed, frontier = (
            self._floats(name) for name in ("cheap_quality", "cheap_passed", "frontier_quality")
        )
        # A validator's verdict is a quality of 1 or 0 where nobody graded the answer.
        only_checked = np.isnan(cheap) & ~np.isnan(passed)
        cheap = np.where(only_checked, passed, cheap)
        preferred = np.array(
            [GAIN_OF_VOTE.get(vote, np.nan) for vote in self._list("preference")], dtype=np.float64
        )
        weight = self._floats("weight")
        said = self._list("measured_by")
        measured_by = np.array(said, dtype=np.object_)
        # With nothing but a vote, qualities are win rates: which of two is better says how good
        # neither is.
        only_voted = np.isnan(cheap) & np.isnan(frontier)
        # Said of rows that leave it out as far as the columns tell it.
        unsaid = np.array([measure is None for measure in said], dtype=bool)
        # Whoever voted, a person or a judge: that it was no grade goes before the name.
        for row in np.flatnonzero(only_voted & ~np.isnan(preferred)).tolist():
            name = measured_by[row]
            if name is None or name.partition(":")[0] != VOTES:
                measured_by[row] = VOTES if name is None else f"{VOTES}:{name}"
        measured_by[unsaid & only_checked] = VALIDATORS
        return Outcomes(
            cheap_quality=np.where(only_voted, (1.0 - preferred) / 2.0, cheap),
            frontier_quality=np.where(only_voted, (1.0 + preferred) / 2.0, frontier),
            preferred_gain=preferred,
            weight=weight if self._factor is None else weight * self._factor,
            request_weight=None if self._factor is None else _times(weight, self._requests),
            measured_by=measured_by,
            by_verdict=only_checked,
        )

    @cached_property
    def tokens(self) -> Tokens:
        """Token counts of the requests and of both answers."""
        prompt, cheap, frontier, cached = (self._floats(name) for name in TOKEN_COUNTS)
        return Tokens(prompt, cheap, frontier, None if np.isnan(cached).all() else cached)

    @cached_property
    def bill(self) -> Bill:
        """What was billed for both answers."""
        return Bill(*(self._floats(name) for name in COSTS))

    @cached_property
    def model_pair(self) -> tuple[str, str] | None:
        """The most frequent (cheap, frontier) pair of names; where no sample names both, the most
        frequent name of either, and ``None`` where one has none.
        """
        pairs = Counter(zip(self._list("cheap_model"), self._list("frontier_model"), strict=True))
        named = [pair for pair, _ in pairs.most_common() if None not in pair]
        if named:
            return named[0]
        # A log of calls names one model a row.
        first = [names.most_common(1) for names in self.model_names]
        return (first[0][0][0], first[1][0][0]) if all(first) else None

    @cached_property
    def model_names(self) -> tuple[Counter[str], Counter[str]]:
        """How many samples name each cheap and each frontier model."""
        cheap, frontier = self._list("cheap_model"), self._list("frontier_model")
        return Counter(filter(None, cheap)), Counter(filter(None, frontier))

    @cached_property
    def data_hash(self) -> str:
        """SHA-256 of the content, 64 hex digits: the rows in order with every column, groups
        included.

        It does not depend on the path, the compression or the row groups of the file. It is taken
        over the version and then, for every 4,096 rows, the JSON of the columns (keys sorted,
        ASCII, times in ISO 8601).
        """
        later = [name for name in _ADDED_LATER if self._is_unknown(name)]
        batches = self._batches([name for name in SCHEMA.names if name not in later])
        return hash_of(batches, version=VERSION, n_rows=len(self))

    def messages(self, rows: ArrayLike | None = None) -> list[list[dict[str, str]]]:
        """Return the messages, {role, content} and maybe ``marks``, of some samples or of all."""
        return [*(self if rows is None else self.select(rows)).each_messages()]

    def each_messages(self) -> Iterator[list[dict[str, str]]]:
        """Yield the messages of each sample, a few thousand at a time in memory."""
        for batch in self._batches(["messages", "marks"]):
            yield from marked_messages(batch)

    def blocks(self, name: str) -> Iterator[list[Any]]:
        """Yield the values of a column, those of a few thousand samples at a time."""
        for batch in self._batches([name]):
            yield batch.column(0).to_pylist()

    def sent(self, names: Sequence[str], *, rows: int = _BATCH_ROWS) -> Iterator[bytes]:
        """Yield some columns of so many samples at a time, as other processes are sent them."""
        return map(as_sent, self._batches(names, rows=rows))

    def each_asked(self) -> Iterator[tuple[list[list[dict[str, str]]], list[list[Any] | None]]]:
        """Yield messages and offered tools of a few thousand samples at a time."""
        return map(asked_of, self._batches(ASKED))

    def each_answered(self) -> Iterator[list[tuple[Any, Any, str | None, str]]]:
        """Yield messages, tools, task and the cheap model's answer of each sample, a few thousand
        samples at a time.
        """
        return map(answered_of, self._batches(ANSWERED))

    def known(self, name: str) -> NDArray[np.bool_]:
        """Return which samples have a value in a column, of shape (n,)."""
        masks = (batch.column(0).is_valid().to_numpy() for batch in self._batches([name]))
        return np.concatenate([np.zeros(0, bool), *masks])

    def each_tools(self) -> Iterator[list[Any] | None]:
        """Yield the tools that each sample offers, where that is known."""
        for text in self._each("tools"):
            yield json.loads(text) if text else None

    def views(self, view: TextView) -> list[View]:
        """Return each sample as rendered, with how much of it was left out."""
        return [view(messages) for messages in self.each_messages()]

    def text_hashes(self) -> list[str]:
        """Return a hash of each normalised text: equal ones are exact duplicates, across files."""
        return [text_hash(text) for text in self.comparable_texts()]

    def bare_keys(self) -> list[bytes]:
        """Return a key of each text, which copies in other case, spaces and punctuation share."""
        return [bare_key(text) for text in self.comparable_texts()]

    def comparable_texts(self) -> Iterator[str]:
        """Yield the normalised text of each sample, by which duplicates are found."""
        for messages in self._each("messages"):
            yield comparable_text((message["role"], message["content"]) for message in messages)

    def splits(
        self, fractions: tuple[float, float, float] = (0.6, 0.2, 0.2), seed: int = 0
    ) -> NDArray[np.str_]:
        """Return the split of each sample; see :func:`assign_splits`."""
        return assign_splits(self.split_groups, self.near_groups, fractions=fractions, seed=seed)

    def column(self, name: str) -> list[Any]:
        """Return any column of ``SCHEMA`` as a list; ``extra`` as mappings, ``tools`` as lists of
        them or ``None``.
        """
        values = self._list(name)
        if name not in ("extra", "tools"):
            return values
        unknown: dict[str, Any] | None = {} if name == "extra" else None
        return [json.loads(value) if value else unknown for value in values]

    def write(self, path: Path) -> None:
        """Write the samples as ingested traffic, for :meth:`read`."""
        # As the file was read: weights of logged traffic are worked out again from its columns.
        metadata = {VERSION_KEY: str(VERSION).encode(), ROWS_KEY: str(len(self)).encode()}
        schema = SCHEMA.with_metadata(metadata)
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for batch in self._batches(SCHEMA.names, rows=_GROUP_ROWS):
                writer.write_table(batch.cast(schema))

    def select(self, rows: ArrayLike) -> Traffic:
        """Return some samples, by row numbers or by a mask of shape (n,)."""
        # Arrow takes row numbers alone.
        chosen = np.asarray(rows)
        if chosen.dtype == np.bool_:
            chosen = np.flatnonzero(chosen)
        factor, requests = (
            None if each is None else each[chosen] for each in (self._factor, self._requests)
        )
        places = chosen.astype(np.int64)
        table = self._table.take(pa.array(places))
        texts = self._texts.at(places) if self._texts else None
        return Traffic(table, texts=texts, factor=factor, requests=requests)

    def weighed(self, factor: FloatArray, *, requests: FloatArray | None = None) -> Traffic:
        """Return the samples with the weights of their outcomes multiplied, and those of the
        requests too; shape (n,). Files are written without that.
        """
        requests = self._requests if requests is None else _times(requests, self._requests)
        factor = _times(factor, self._factor)
        return Traffic(self._table, texts=self._texts, factor=factor, requests=requests)

    def with_columns(self, values: Mapping[str, Sequence[Any]]) -> Traffic:
        """Return the samples with other values of some columns; of ``extra`` mappings."""
        if "messages" in values:
            values = {**values, "marks": [*map(stored_marks, values["messages"])]}
        table, texts = self._table, self._texts
        if texts and not values.keys().isdisjoint(TEXTS):
            rest = [name for name in TEXTS if name not in values]  # none for without_texts
            table, texts = _with_later_columns(self._columns(rest), SCHEMA.names), None
        for name, column in values.items():
            field = SCHEMA.field(name)
            if name == "extra":
                column = [json.dumps(value) if value else None for value in column]
            place = table.schema.get_field_index(name)
            table = table.set_column(place, field, pa.array(column, type=field.type))
        return Traffic(table, texts=texts, factor=self._factor, requests=self._requests)

    def without_texts(self) -> Traffic:
        """Return the samples without what users and models wrote: messages, answers, tools and
        ``extra`` are empty.
        """
        empty: dict[str, Sequence[Any]] = {"messages": [[]] * len(self)}
        written = ("cheap_answer", "frontier_answer", "tools", "extra")
        return self.with_columns(empty | {name: [None] * len(self) for name in written})

    def without_outcomes(self, rows: NDArray[np.bool_], names: Sequence[str] = OUTCOMES) -> Traffic:
        """Return the samples with some outcomes of some of them unknown, by a mask of shape
        (n,).
        """
        table, unknown = self._table, pa.array(rows)
        for name in names:
            place = table.schema.get_field_index(name)
            column = pa.compute.if_else(unknown, None, table.column(name))
            table = table.set_column(place, table.schema.field(place), column)
        return Traffic(table, texts=self._texts, factor=self._factor, requests=self._requests)

    def without_forms(self, *, least: int = 1) -> tuple[Traffic, int]:
        """Return the samples in which checks of the cheap answer's form say nothing where others
        were graded, and how many have lost their outcome so.

        A log checks every kept answer and people grade a part: an answer that passed is not known
        to be right, and counted so the cheap model would seem to fail far less than it does. Those
        that failed the check go too, as else of the answers nobody graded only failures would be
        known.

        Parameters
        ----------
        least : int, default 1
            How many must have been graded; with fewer all stays as it is.
        """
        outcomes = self.outcomes
        forms = outcomes.only_checked & ~np.isnan(outcomes.cheap_quality)
        graded = ~np.isnan(outcomes.graded().cheap_quality)
        if not forms.any() or graded.sum() < least:
            return self, 0
        without = self.without_outcomes(forms, ("cheap_passed", "cheap_quality"))
        # A verdict is on the cheap answer; qualities that were named so are both of the form.
        named = forms & ~np.isnan(self._floats("cheap_quality"))
        without = without.without_outcomes(named, ("frontier_quality",))
        names = [
            without_checks(name) if is_form else name
            for name, is_form in zip(self._list("measured_by"), forms.tolist(), strict=True)
        ]
        return without.with_columns({"measured_by": names}), int(forms.sum())

    def _list(self, name: str) -> list[Any]:
        if self._texts and name in TEXTS:
            return list(self._each(name))
        return list(self._table.column(name).to_pylist())

    def _is_unknown(self, name: str) -> bool:
        """Return whether a column says nothing of any row."""
        batches = self._batches([name])
        return all(batch.column(0).null_count == len(batch) for batch in batches)

    def _columns(self, names: Sequence[str]) -> pyarrow.Table:
        """Return the table with some of the columns of text."""
        table = self._table
        for name in names:
            parts = [batch.column(0) for batch in self._batches([name])]
            chunks = [chunk for part in parts for chunk in part.chunks]
            column = pa.chunked_array(chunks, type=SCHEMA.field(name).type)
            table = table.append_column(SCHEMA.field(name), column)
        return table

    def _floats(self, name: str) -> FloatArray:
        values = self._table.column(name).cast(pa.float64())
        return np.array(values.to_numpy(), dtype=np.float64)  # null becomes NaN

    def _each(self, name: str) -> Iterator[Any]:
        for batch in self._batches([name]):
            yield from batch.column(0).to_pylist()

    def _batches(self, names: Sequence[str], *, rows: int = _BATCH_ROWS) -> Iterator[pyarrow.Table]:
        """Yield slices of a fixed number of rows, whatever the row groups of the file."""
        apart = [name for name in names if name in TEXTS] if self._texts else []
        columns = self._table.select([name for name in names if name not in apart])
        if not apart or not self._texts:
            for start in range(0, len(self), rows):
                yield columns.slice(start, rows)
            return
        for number, batch in enumerate(self._texts.batches(apart, rows)):
            if len(apart) == len(names):
                yield batch.select(list(names))
                continue
            table = columns.slice(number * rows, rows)
            for name in apart:
                table = table.append_column(batch.schema.field(name), batch.column(name))
            yield table.select(list(names))


def _times(weight: FloatArray, factor: FloatArray | None) -> FloatArray:
    return weight if factor is None else weight * factor


def _with_later_columns(table: pyarrow.Table, names: Sequence[str]) -> pyarrow.Table:
    """Return a table with the columns that it lacks, all unknown, in the order of ``names``."""
    for name in names:
        if name in (*_ADDED_LATER, *TEXTS) and name not in table.schema.names:
            field = SCHEMA.field(name)
            table = table.append_column(field, pa.nulls(len(table), field.type))
    there = [name for name in names if name in table.schema.names]
    return table.select(there) if set(there) == set(table.schema.names) else table


def _check_metadata(path: Path, metadata: dict[bytes, bytes], n_rows: int) -> None:
    version = metadata.get(VERSION_KEY)
    if version is None:
        raise TrafficError(_not_ingested(path, "a Parquet file without its version"))
    if version != str(VERSION).encode():
        raise TrafficError(
            f"traffic version {version.decode('ascii', 'replace')} of {path} is not one this"
            f" package reads ({VERSION}). Upgrade difficulty or ingest again."
        )
    # A file that another tool rewrote with fewer rows may still look whole.
    if metadata.get(ROWS_KEY) != str(n_rows).encode():
        raise TrafficError(
            f"{path} must hold the rows it was written with: got {n_rows:,}. Ingest again."
        )


def _not_ingested(path: Path, found: str) -> str:
    return mistaken(path, PathKind.TRAFFIC) or (
        f"{path} must be traffic that was ingested: got {found}. Name a file written by 'difficulty"
        " ingest'."
    )


class Tokenized(NamedTuple):
    """Token ids of n requests, cut to the scorer's limit, how many tokens each has in all, and
    their tasks.
    """

    ids: Sequence[Sequence[int]]
    """With the numbers of requests that offer functions, see
    :class:`~difficulty.conversation.request_numbers.NumberedIds`.
    """
    totals: NDArray[np.int64]
    tasks: list[str | None]
    """``None`` also for a request of which the tokenizer keeps nothing: serving does not score
    those.
    """
    shortened: NDArray[np.bool_]
    """Whether the text is not the whole request's, so that the total is an estimate."""
    masked: NDArray[np.bool_] | None = None
    """Whether that is so as context was left out alone, and nothing was cut; ``None``: of none."""

    def as_arrays(self) -> dict[str, NDArray[Any]]:
        """Return all but the tasks, as :meth:`of_arrays` reads it."""
        ids, numbers = self.ids, numbers_of(self.ids)
        flat, ends = flattened(ids)
        having = np.flatnonzero(~np.isnan(numbers).all(axis=1))
        arrays: dict[str, NDArray[Any]] = {
            "flat": flat,
            "ends": ends,
            "rows": having,
            "numbers": numbers[having],
        }
        masked = np.zeros(len(ids), bool) if self.masked is None else self.masked
        return arrays | {"totals": self.totals, "shortened": self.shortened, "masked": masked}

    @classmethod
    def of_arrays(
        cls, arrays: Mapping[str, NDArray[Any]], tasks: Sequence[str | None], tokenizer: str
    ) -> Tokenized:
        """Return what :meth:`as_arrays` said, of requests with these tasks."""
        numbers = dict(zip(arrays["rows"].tolist(), arrays["numbers"], strict=True))
        ids = TokenRows.of(arrays["flat"], arrays["ends"], tokenizer, numbers)
        sizes = np.diff(ids.ends).tolist()
        known = [task if size else None for task, size in zip(tasks, sizes, strict=True)]
        return cls(ids, arrays["totals"], known, arrays["shortened"], arrays["masked"])

    def at(self, rows: NDArray[np.intp]) -> Tokenized:
        """Return some requests."""
        return Tokenized(
            pick(self.ids, rows),
            self.totals[rows],
            [self.tasks[row] for row in rows],
            self.shortened[rows],
            None if self.masked is None else self.masked[rows],
        )


def tokenize(
    traffic: Traffic,
    *,
    view: TextView,
    tokenizer: RequestTokenizer,
    engine: Engine | None = None,
    progress: Callable[[int], None] | None = None,
) -> Tokenized:
    """Return the token ids of all requests; the parameters are those of
    :func:`~difficulty.traffic.stored.token_reading.read_tokens`.
    """
    read = read_tokens(traffic.sent(ASKED), view, tokenizer, engine=engine, progress=progress)
    sizes = np.diff(read.ids.ends).tolist()
    tasks = [task if size else None for task, size in zip(traffic.tasks, sizes, strict=True)]
    return Tokenized(read.ids, read.totals, tasks, read.shortened, read.shortened & ~read.cut)
