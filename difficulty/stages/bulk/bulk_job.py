"""A job that scores files of any size into one Parquet file.

Each part of the input is scored by itself and kept in a folder until all are there; then they
become the output, in the order of the input. A part's name is a hash of all that its content
follows from: the file and its version, the rows, the bundle, the kept columns. So a job that was
killed goes on where it was, whatever changed meanwhile is scored again, and the output has the
same bytes as if nothing had happened.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from difficulty import __version__
from difficulty.bundle.store import read_bundle
from difficulty.engine import Engine
from difficulty.errors import DifficultyError, OutputExistsError, StorageError, TrafficError
from difficulty.request import unreadable_row
from difficulty.stages.bulk.block_scoring import BLOCK_SCHEMA, BlockScorer, refuse_reserved
from difficulty.stages.bulk.bulk_sources import BulkPart, BulkSources, kept_columns, windows_of
from difficulty.storage import (
    DEFAULT_CACHE,
    FULL,
    lock_alone,
    move_into_place,
    named,
    place_of,
    scratch_beside,
    url_of,
)
from difficulty.text import quantity_text
from difficulty.traffic.table import pa, pq

FORMAT = 1
"""Of parts and output: raised when the columns, or what they mean, change."""
FORMAT_KEY, BUNDLE_KEY = b"difficulty.scores.format", b"difficulty.scores.bundle"
_COUNTS_KEY = b"difficulty.scores.counts"
_GROUP_ROWS = 65_536
_LOCK = "lock"
_DAMAGED = ".damaged.parquet"
_HELD = "holds "


class Bulk(NamedTuple):
    """What a job has done."""

    out: Path
    counts: Counter[str]
    """Of rows, errors, truncated ones, routes and reasons."""
    n_parts: int
    n_kept: int
    """Parts that an earlier run had done."""
    absent: tuple[str, ...] = ()
    """Columns to keep that no row has."""


class _Task(NamedTuple):
    part: BulkPart
    target: Path
    damaged: Path | None
    """Where it is written instead if some of it cannot be read; ``None``: that is an error."""


def score_files(
    bundle: str | Path,
    places: Sequence[str],
    out: Path,
    *,
    engine: Engine,
    keep: Sequence[str] = (),
    resume: bool = False,
    skip_damaged: bool = False,
    work_dir: Path | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Bulk:
    """Score the requests of some files into a Parquet file, one row a request, in order.

    Parameters
    ----------
    bundle : str or Path
        Folder or URL.
    places : sequence of str
        Files, folders, patterns, URLs.
    out : Path
        A ``.parquet`` file; replaced where it is there.
    engine : Engine
        Who scores; the bytes written do not depend on it.
    keep : sequence of str
        Columns of the input to have in the output.
    resume : bool
        Go on with the parts that a run which was stopped has left.
    skip_damaged : bool
        Write rows without scores for a row group that cannot be read, in place of an error.
    work_dir : Path, optional
        Where finished parts wait, in a folder of the job's own; default: a hidden one beside
        ``out``.
    progress : callable, optional
        Told the rows done so far, and how many there are, where that is known.

    Raises
    ------
    OutputExistsError
        If another job writes to ``out``, one has left parts and ``resume`` is not asked for, or
        ``out`` is a file that is read.
    TrafficError
        If something cannot be read; finished parts stay.
    StorageError
        If the disk is full; finished parts stay.
    """
    keep = tuple(dict.fromkeys(keep))
    refuse_reserved(keep)
    sources = BulkSources(places, keep=keep)
    _refuse_source(out, sources)
    digest = read_bundle(bundle).digest
    work = _folder_of_parts(out, work_dir)
    with _held(work, out, resume=resume):
        schema = pa.schema([*BLOCK_SCHEMA, *sources.kept_fields])
        opening = partial(_open_scorer, str(bundle), tuple(keep), schema)
        todo = _Parts(sources, work, digest, skip_damaged=skip_damaged)
        try:
            with _telling_full(work):
                for n_rows in engine.map_blocks(opening, todo):
                    todo.note(n_rows)
                    if progress:
                        progress(todo.n_rows, sources.n_rows)
                counts = _assemble(todo.files, out, schema, digest)
        except DifficultyError as error:
            error.args = (f"{error}{todo.advice(work)}", *error.args[1:])
            raise
        shutil.rmtree(work)
    absent = tuple(name for name in keep if counts["rows"] and not counts[_HELD + name])
    return Bulk(out, counts, todo.n_parts, todo.n_kept, absent)


def default_work_dir(out: Path) -> Path:
    """Return where the parts of an output wait: beside it, or in the cache where it is a URL."""
    name = named(str(out))
    if (url := url_of(name)) is None:
        return out.parent / f".{out.name}.parts"
    return DEFAULT_CACHE / "bulk" / sha256(place_of(url).encode()).hexdigest()[:16]


def _folder_of_parts(out: Path, work_dir: Path | None) -> Path:
    """Return where a job keeps its parts: a folder that is its own, because it goes at the end."""
    if work_dir is None:
        return default_work_dir(out)
    name = named(str(out))
    url = url_of(name)
    whole = place_of(url) if url else str(out.resolve())
    return work_dir / f"{out.name}-{sha256(whole.encode()).hexdigest()[:8]}.parts"


def _refuse_source(out: Path, sources: BulkSources) -> None:
    """Refuse to write over a file that is read; a pattern or a folder may hold it."""
    url = url_of(named(str(out)))
    for source in sources.all:
        if url_of(source.place) is not None:
            is_same = url is not None and place_of(source.place) == place_of(url)
        else:
            is_same = out.exists() and Path(source.place).samefile(out)
        if is_same:
            raise OutputExistsError(
                f"the output must not be what is read: got {source.place!r} for both. Choose"
                " another name."
            )


class _Parts:
    """The parts of a job: those that are done, and those to do, as they are drawn."""

    def __init__(
        self, sources: BulkSources, work: Path, digest: str, *, skip_damaged: bool
    ) -> None:
        self._sources, self._work, self._digest = sources, work, digest
        self._skip = skip_damaged
        self._tasks: list[_Task] = []
        self.n_kept = self.n_rows = 0

    def __iter__(self) -> Iterator[_Task]:
        for part in self._sources.parts():
            # A part without damage is the same whether or not damage is passed over.
            target = self._work / f"{self._name(part)}.parquet"
            damaged = target.with_suffix(_DAMAGED) if self._skip else None
            task = _Task(part, target, damaged)
            self._tasks.append(task)
            if _file_of(task):
                self.n_kept += 1
                self.n_rows += part.n_rows
            else:
                yield task

    @property
    def n_parts(self) -> int:
        """How many there are, of those that were drawn."""
        return len(self._tasks)

    @property
    def files(self) -> list[Path]:
        """The parts that are done, in the order of the input."""
        return [file for file in map(_file_of, self._tasks) if file]

    def note(self, n_rows: int) -> None:
        self.n_rows += n_rows

    def advice(self, work: Path) -> str:
        """Return what to do after an error, where parts are done."""
        done = len(self.files)
        if not done:
            return ""
        return f" Finished parts ({done:,}) are kept in {str(work)!r}: go on with --resume."

    def _name(self, part: BulkPart) -> str:
        source = part.source
        rows = [part.first_row, part.n_rows, *part.groups]
        content = [FORMAT, __version__, source.place, source.version, rows, self._digest]
        return sha256(json.dumps([*content, self._sources.keep]).encode()).hexdigest()[:32]


def _file_of(task: _Task) -> Path | None:
    """Return the file of a part that is done."""
    places = (task.target, task.damaged)
    return next((place for place in places if place and place.exists()), None)


@contextmanager
def _held(work: Path, out: Path, *, resume: bool) -> Iterator[None]:
    """Hold an output and the folder of its parts; no other job of this machine has them meanwhile,
    wherever its parts wait.
    """
    beside = default_work_dir(out)
    beside.mkdir(parents=True, exist_ok=True)
    handle = os.open(beside / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _lock(handle, out)
        work.mkdir(parents=True, exist_ok=True)
        left = [path for path in work.iterdir() if path.name.endswith(".parquet")]
        if left and not resume:
            raise OutputExistsError(
                f"a job for {str(out)!r} was stopped after {quantity_text(len(left), 'part')}."
                " Pass --resume to go"
                f" on, or remove {str(work)!r} to begin anew."
            )
        for path in work.glob("*.part"):  # of workers that were killed
            path.unlink(missing_ok=True)
        try:
            yield
        finally:
            for folder in {work, beside}:
                if folder.exists() and not any(folder.glob("*.parquet")):
                    shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(handle)


def _lock(handle: int, out: Path) -> None:
    if not lock_alone(handle):
        raise OutputExistsError(
            f"another job writes {str(out)!r} at the moment. Wait for its end, or choose another"
            " name."
        )


@contextmanager
def _telling_full(work: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, DifficultyError) or error.errno not in FULL:
            raise
        raise StorageError(f"no space is left for {str(work)!r}: free some.") from error


def _open_scorer(bundle: str, keep: tuple[str, ...], schema: Any) -> Callable[[_Task], int]:
    scorer = BlockScorer(read_bundle(bundle), keep=keep)
    return partial(_score_part, scorer, schema)


def _score_part(scorer: BlockScorer, schema: Any, task: _Task) -> int:
    """Score a part into its file, whole or not at all, and return how many rows it has."""
    part, hidden = task.part, task.target.with_suffix(f".{os.getpid()}.part")
    counts: Counter[str] = Counter()
    passed_over: list[str] = []
    try:
        with pq.ParquetWriter(hidden, schema, compression="zstd", compression_level=1) as writer:
            tables = (
                _scored(scorer, task, passed_over) if part.groups else _scored_rows(scorer, part)
            )
            for table in tables:
                _count(counts, table, scorer.keep)
                writer.write_table(table)
            writer.add_key_value_metadata({_COUNTS_KEY: json.dumps(counts)})
        os.replace(hidden, (task.damaged if passed_over else None) or task.target)
    except TrafficError as error:
        raise TrafficError(f"{part.source.place}: {error}") from error
    finally:
        hidden.unlink(missing_ok=True)
    return counts["rows"]


def _scored(scorer: BlockScorer, task: _Task, passed_over: list[str]) -> Iterator[Any]:
    """Yield the scored rows of a part of Parquet; note what of it was passed over, and why."""
    part = task.part
    with part.source.open() as file:
        first, last, skip = part.first_row, part.first_row + part.n_rows, part.skip
        for group in part.groups:
            end = min(last, first + file.metadata.row_group(group).num_rows - skip)
            rows = {"skip": skip, "n_rows": end - first}
            try:
                for table in windows_of(file, group, scorer.keep, **rows):
                    yield scorer(table, first_row=first)
                    first += len(table)
            except TrafficError as error:
                if task.damaged is None:
                    raise
                passed_over.append(str(error))
                yield from _without_scores(scorer, str(error), first, end, file.schema_arrow)
            first, skip = end, 0


def _without_scores(
    scorer: BlockScorer, why: str, first: int, end: int, schema: Any
) -> Iterator[Any]:
    """Yield rows that say why they have no scores, for rows that cannot be read."""
    for start in range(first, end, _GROUP_ROWS):
        numbers = range(start + 1, min(end, start + _GROUP_ROWS) + 1)
        table = scorer.score_rows([unreadable_row(str(number), why) for number in numbers])
        for name in scorer.keep:
            kind = schema.field(name).type
            table = table.append_column(pa.field(name, kind), pa.nulls(len(table), kind))
        yield table


def _scored_rows(scorer: BlockScorer, part: BulkPart) -> Iterator[Any]:
    table = scorer.score_rows(part.requests())
    for name, values in zip(scorer.keep, kept_columns(part, scorer.keep), strict=True):
        table = table.append_column(pa.field(name, pa.string()), pa.array(values, pa.string()))
    yield table


def _count(counts: Counter[str], table: Any, keep: Sequence[str]) -> None:
    counts["rows"] += len(table)
    counts["errors"] += len(table) - table.column("error").null_count
    counts["truncated"] += pa.compute.sum(table.column("truncated")).as_py() or 0
    for name in keep:
        counts[_HELD + name] += len(table) - table.column(name).null_count
    for name in ("route", "reason"):
        for entry in pa.compute.value_counts(table.column(name)).to_pylist():
            counts[entry["values"]] += entry["counts"]


def _assemble(targets: Sequence[Path], out: Path, schema: Any, digest: str) -> Counter[str]:
    """Write the parts as one file, whole or not at all, and return what they have counted."""
    counts: Counter[str] = Counter()
    notes = {FORMAT_KEY: str(FORMAT), BUNDLE_KEY: digest}
    with scratch_beside(out) as scratch:
        place = scratch / out.name
        with pq.ParquetWriter(place, schema, compression="zstd") as writer:
            waiting: list[Any] = []
            for target in targets:
                with pq.ParquetFile(target) as part:
                    metadata: Mapping[bytes, bytes] = part.metadata.metadata or {}
                    counts.update(json.loads(metadata[_COUNTS_KEY]))
                    for batch in part.iter_batches(batch_size=_GROUP_ROWS):
                        waiting.append(pa.Table.from_batches([batch], schema))
                        if sum(map(len, waiting)) >= _GROUP_ROWS:
                            writer.write_table(pa.concat_tables(waiting))
                            waiting = []
            if waiting:
                writer.write_table(pa.concat_tables(waiting))
            writer.add_key_value_metadata(notes)
        place.chmod(0o644)
        move_into_place(place, out, durable=True)
    return counts
