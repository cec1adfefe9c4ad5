"""Ingested traffic as training and evaluation use it: columns, not records, which stay in large
files until they are read; and the split of its samples.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from difficulty.errors import TrafficError, TrafficNotFoundError
from difficulty.kinds import PathKind, mistaken
from difficulty.metrics.arrays import FloatArray
from difficulty.metrics.coded_names import CodedNames, look_up
from difficulty.records import COSTS, OUTCOMES, TOKEN_COUNTS
from difficulty.text import TextView, View
from difficulty.traffic.duplicates import bare_key, comparable_text, text_hash
from difficulty.traffic.outcomes import (
    GAIN_OF_VOTE,
    VALIDATORS,
    VOTES,
    Outcomes,
    once_if_equal,
    without_checks,
)
from difficulty.traffic.stored import text_columns
from difficulty.traffic.stored.content_hash import hash_of
from difficulty.traffic.stored.name_codes import code_names, names_in, read_names
from difficulty.traffic.stored.splits import SplitNames, assign_splits, splits_of_blocks
from difficulty.traffic.stored.text_columns import (
    ANSWERED,
    ASKED,
    TEXTS,
    StoredColumns,
    answered_of,
    as_sent,
    asked_of,
    is_large,
    marked_messages,
)
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

_NO_COLUMNS = pa.table({})
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

    Rows keep the order of the file. Texts stay in Arrow memory until asked for; all columns of
    large files, but for those that were given other values, in the file.
    """

    def __init__(
        self,
        table: pyarrow.Table,
        *,
        stored: StoredColumns | None = None,
        factor: FloatArray | None = None,
        requests: FloatArray | None = None,
    ) -> None:
        self._table, self._stored = table, stored
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
            if is_large(file):
                unknown = [name for name in SCHEMA.names if name not in file.schema_arrow.names]
                if {*unknown} <= {*_ADDED_LATER, *TEXTS} - {"messages"}:
                    return cls(_NO_COLUMNS, stored=StoredColumns(file, SCHEMA))
                raise TrafficError(_not_ingested(path, f"columns {file.schema_arrow.names}"))
            table = _with_later_columns(file.read(columns=SCHEMA.names), SCHEMA.names)
        except (pa.ArrowException, OSError) as error:
            raise TrafficError(_not_ingested(path, "something else or damaged")) from error
        if table.schema.names != SCHEMA.names or "messages" not in file.schema_arrow.names:
            raise TrafficError(_not_ingested(path, f"columns {table.schema.names}"))
        return cls(table)

    def __len__(self) -> int:
        return int(self._table.num_rows) if self._stored is None else len(self._stored)

    @cached_property
    def ids(self) -> list[str]:
        """Ids of the samples."""
        return self._list("id")

    @cached_property
    def tasks(self) -> Sequence[str | None]:
        """Task of each sample, ``None`` where unknown."""
        return self.names("task")

    @cached_property
    def split_groups(self) -> Sequence[str]:
        """Key of each sample: samples with one key share a split."""
        if self._stored is None:
            return self._list("split_group")
        # The keys themselves are read again where they are asked for.
        codes, _ = code_names(self._arrays("split_group"))
        keys = partial(names_in, partial(self._arrays, "split_group"))
        return cast("Sequence[str]", CodedNames(codes, keys))

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
        preferred = look_up(
            self.names("preference"),
            lambda vote: np.nan if vote is None else GAIN_OF_VOTE.get(vote, np.nan),
            np.float64,
        )
        weight = self._floats("weight")
        measured_by = look_up(self.names("measured_by"), lambda name: name, np.object_)
        # With nothing but a vote, qualities are win rates: which of two is better says how good
        # neither is.
        only_voted = np.isnan(cheap) & np.isnan(frontier)
        # Said of rows that leave it out as far as the columns tell it.
        unsaid = look_up(self.names("measured_by"), lambda name: name is None, np.bool_)
        # Whoever voted, a person or a judge: that it was no grade goes before the name.
        for row in np.flatnonzero(only_voted & ~np.isnan(preferred)).tolist():
            name = measured_by[row]
            if name is None or name.partition(":")[0] != VOTES:
                measured_by[row] = VOTES if name is None else f"{VOTES}:{name}"
        measured_by[unsaid & only_checked] = VALIDATORS
        return Outcomes(
            cheap_quality=np.where(only_voted, (1.0 - preferred) / 2.0, cheap),
            frontier_quality=np.where(only_voted, (1.0 + preferred) / 2.0, frontier),
            preferred_gain=once_if_equal(preferred),
            weight=once_if_equal(weight if self._factor is None else weight * self._factor),
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
        pairs = Counter(zip(self.names("cheap_model"), self.names("frontier_model"), strict=True))
        for (cheap, frontier), _ in pairs.most_common():
            if cheap is not None and frontier is not None:
                return cheap, frontier
        # A log of calls names one model a row.
        first = [names.most_common(1) for names in self.model_names]
        return (first[0][0][0], first[1][0][0]) if all(first) else None

    @cached_property
    def model_names(self) -> tuple[Counter[str], Counter[str]]:
        """How many samples name each cheap and each frontier model."""
        cheap, frontier = self.names("cheap_model"), self.names("frontier_model")
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
    ) -> SplitNames:
        """Return the split of each sample; see :func:`assign_splits`."""
        if self._stored is None:
            keys, others = self.split_groups, self.near_groups
            return assign_splits(keys, others, fractions=fractions, seed=seed)
        batches = self._batches(["split_group", "near_groups"])
        columns = ([column.to_pylist() for column in batch.columns] for batch in batches)
        return splits_of_blocks(columns, fractions=fractions, seed=seed)

    def names(self, name: str) -> Sequence[str | None]:
        """Return a column of words, of large files as numbers."""
        if name not in self._at_rest:
            return self._list(name)
        return read_names(self._arrays(name))

    def picked(self, name: str, rows: NDArray[np.intp]) -> list[Any]:
        """Return the values of a column of some samples."""
        return self.select(rows)._list(name)

    def each(self, name: str) -> Iterator[Any]:
        """Yield the value of each sample in a column, a few thousand at a time in memory."""
        return self._each(name)

    def floats(self, name: str) -> FloatArray:
        """Return a column of numbers, NaN where it is unknown."""
        return self._floats(name)

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
        table = self._table.take(pa.array(places)) if self._table.num_columns else self._table
        stored = None if self._stored is None else self._stored.at(places)
        return Traffic(table, stored=stored, factor=factor, requests=requests)

    def weighed(self, factor: FloatArray, *, requests: FloatArray | None = None) -> Traffic:
        """Return the samples with the weights of their outcomes multiplied, and those of the
        requests too; shape (n,). Files are written without that.
        """
        requests = self._requests if requests is None else _times(requests, self._requests)
        factor = _times(factor, self._factor)
        return Traffic(self._table, stored=self._stored, factor=factor, requests=requests)

    def with_columns(self, values: Mapping[str, Sequence[Any]]) -> Traffic:
        """Return the samples with other values of some columns; of ``extra`` mappings."""
        if "messages" in values:
            values = {**values, "marks": [*map(stored_marks, values["messages"])]}
        table = self._table
        for name, column in values.items():
            if name == "extra":
                column = [json.dumps(value) if value else None for value in column]
            table = _with_column(table, name, pa.array(column, type=SCHEMA.field(name).type))
        return Traffic(table, stored=self._stored, factor=self._factor, requests=self._requests)

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
            column = pa.chunked_array(self._arrays(name), type=SCHEMA.field(name).type)
            table = _with_column(table, name, pa.compute.if_else(unknown, None, column))
        return Traffic(table, stored=self._stored, factor=self._factor, requests=self._requests)

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
            for name, is_form in zip(self.names("measured_by"), forms.tolist(), strict=True)
        ]
        return without.with_columns({"measured_by": names}), int(forms.sum())

    @property
    def _at_rest(self) -> Sequence[str]:
        """The columns that are still in the file."""
        if self._stored is None:
            return ()
        return [name for name in SCHEMA.names if name not in self._table.column_names]

    def _arrays(self, name: str) -> Iterator[pyarrow.Array]:
        """Yield a column, some samples at a time."""
        if self._stored is None or name not in self._at_rest:
            yield from self._table.column(name).chunks
            return
        for column in self._stored.column(name):
            yield from column.chunks

    def _list(self, name: str) -> list[Any]:
        return [value for array in self._arrays(name) for value in array.to_pylist()]

    def _is_unknown(self, name: str) -> bool:
        """Return whether a column says nothing of any row."""
        return all(array.null_count == len(array) for array in self._arrays(name))

    def _floats(self, name: str) -> FloatArray:
        values, done = np.empty(len(self)), 0
        for array in self._arrays(name):  # null becomes NaN
            part = array.cast(pa.float64()).to_numpy(zero_copy_only=False)
            values[done : done + len(part)] = part
            done += len(part)
        return values

    def _each(self, name: str) -> Iterator[Any]:
        for batch in self._batches([name]):
            yield from batch.column(0).to_pylist()

    def _batches(self, names: Sequence[str], *, rows: int = _BATCH_ROWS) -> Iterator[pyarrow.Table]:
        """Yield slices of a fixed number of rows, whatever the row groups of the file."""
        at_rest = self._at_rest
        apart = [name for name in names if name in at_rest]
        columns = self._table.select([name for name in names if name not in apart])
        if not apart or self._stored is None:
            for start in range(0, len(self), rows):
                yield columns.slice(start, rows)
            return
        for number, batch in enumerate(self._stored.batches(apart, rows)):
            for name in columns.column_names:
                part = columns.column(name).slice(number * rows, rows)
                batch = batch.append_column(SCHEMA.field(name), part)
            yield batch.select(list(names))


def _with_column(table: pyarrow.Table, name: str, column: Any) -> pyarrow.Table:
    """Return a table with other values of a column, which may be new."""
    field = SCHEMA.field(name)
    if not table.num_columns:
        return pa.table([column], schema=pa.schema([field]))
    place = table.schema.get_field_index(name)
    if place < 0:
        return table.append_column(field, column)
    return table.set_column(place, field, column)


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
