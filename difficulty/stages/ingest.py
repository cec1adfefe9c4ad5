"""Ingest: labelled traffic in any format -> one checked Parquet file, with rejects and a summary
beside it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from operator import itemgetter
from pathlib import Path
from typing import Any

from difficulty.engine import Engine, LocalEngine
from difficulty.engine.threads import count_cores
from difficulty.errors import InvalidValueError, TrafficError
from difficulty.kinds import PathKind, kind_of
from difficulty.storage import on_urls, refuse_existing
from difficulty.traffic.checks.row_checks import CheckedRows, check_rows, open_checks, row_blocks
from difficulty.traffic.duplicates import Grouper
from difficulty.traffic.formats import AUTO, Format, find_format
from difficulty.traffic.hashes import HashTable, hash_of
from difficulty.traffic.labels import LabelSource, find_labels
from difficulty.traffic.losses import Losses
from difficulty.traffic.readers import RawRow
from difficulty.traffic.reading.dialect import AS_FOUND, ReadOptions, described_dialects
from difficulty.traffic.reading.mapping import TableMapping
from difficulty.traffic.reading.named_pair import ModelPair
from difficulty.traffic.reading.shaping import Shaping, with_mapping
from difficulty.traffic.rows import Scale, says_something
from difficulty.traffic.summary import Contradictions, Summary, Tally
from difficulty.traffic.writer import TrafficWriter, rejects_path, summary_path

_PROGRESS_ROWS = 500
_LARGE = 64 * 2**20
"""Bytes of sources from which on further processes are worth starting."""


@on_urls
def ingest(
    sources: Sequence[Path],
    out: Path,
    *,
    format: str = AUTO,
    labels: Sequence[str] = (),
    scale: Scale | None = None,
    near_duplicates: bool = True,
    keep_unknown_columns: bool = False,
    allow_rejects: bool = False,
    options: ReadOptions = AS_FOUND,
    mapping: TableMapping | None = None,
    overwrite: bool = False,
    engine: Engine | None = None,
    progress: Callable[[int], None] | None = None,
) -> Summary:
    """Check labelled traffic and write it where training and evaluation read it.

    Rows are read one at a time and in order (label sources that join rows read all of them first),
    and checked in blocks.
    Good rows go to ``out``, bad ones to ``<out>.rejects.jsonl`` with the reason, counts to
    ``<out>.summary.json`` (``<out>`` without its suffix). Either all files appear or, on an error
    or Ctrl-C, none.

    Parameters
    ----------
    sources : sequence of Path
        Files or folders, read in this order; an id may appear once in all of them.
    out : Path
        A ``.parquet`` file.
    format : str, default "auto"
        Name of a format in ``difficulty.traffic.formats.FORMATS``; ``"auto"`` decides for each
        source.
    labels : sequence of str
        Label sources through which the rows go, in this order, each as
        :func:`~difficulty.traffic.labels.find_labels` reads it. Without any, the columns are those
        of the contract.
    scale : Scale, optional
        Scale of ``cheap_quality`` and ``frontier_quality`` where that is not [0, 1]; traffic that
        was ingested is on [0, 1] and stays as it is.
    near_duplicates : bool, default True
        Keep nearly equal texts on one side of the split, not only equal ones.
    keep_unknown_columns : bool, default False
        Whether a column with nearly the name of one that is missing is an extra.
    allow_rejects : bool, default False
        Whether more than a fifth of the rows may be rejected, and requests of which the halves
        stand on two rows lose one.
    options : ReadOptions
        What is known of how the files are written, and of the models that they name.
    mapping : TableMapping, optional
        Which column is which, of sources in format ``native``; what was ingested stays as it is.
    overwrite : bool, default False
        Whether what is at ``out``, and the rejects and the summary beside it, may be replaced.
    engine : Engine, optional
        Where rows are checked and nearly equal texts are searched for; by default in this process,
        of sources of 64 MiB or more in one for each core. All write the same.
    progress : callable, optional
        Called with the number of rows read so far, now and then and at the end.

    Raises
    ------
    TrafficError
        If a source is missing, empty, damaged or of an unknown type, no row of them can be used, or
        much would be lost: see :mod:`difficulty.traffic.losses`.
    OutputExistsError
        If one of the three files exists and may not be replaced.
    UnknownNameError
        If there is no such format or label source.
    """
    outputs = (out, rejects_path(out), summary_path(out))
    refuse_existing(*outputs, overwrite=overwrite)
    label_sources = [find_labels(text) for text in labels]
    if mapping is not None:
        format, options = _native(format), with_mapping(options, mapping)
    files = _files_to_read(sources, format, options)
    # The output may not replace what is being read.
    read = {file.resolve() for _, _, file in files}
    if taken := [path for path in outputs if path.resolve() in read]:
        raise TrafficError(
            f"the output must not be one of the sources: got {str(taken[0])!r}. Choose another"
            " name."
        )
    tally = Tally()
    tally.formats.update(name for name, _, _ in files)
    tally.dialects.update(described_dialects((file for _, _, file in files), options))
    contradictions = Contradictions()
    losses = Losses(text.partition(":")[0] for text in labels)
    engine = engine or _engine_for(file for _, _, file in files)
    with (
        TrafficWriter(out) as writer,
        Grouper(near=near_duplicates, folder=writer.folder, engine=engine) as grouper,
    ):
        raw = _counted(_rows(files), tally, progress)
        tables = [file for name, _, file in files if name == "native"]
        shaped = Shaping(mapping or TableMapping(), options.pair, tables, folder=writer.folder)
        rows = _through(label_sources, _seen(shaped.rows(raw), losses, scale))
        with closing(_checked(rows, engine, tally, losses, writer)) as blocks:
            for block in blocks:
                writer.add(block.samples)
                grouper.begin(block.keys)
                # In this order: a row is counted once it is written.
                tally.take(block.tally)
                contradictions.add(block.outcomes)
        # Before the commit, so that no file appears; what tells most about the cause first.
        losses.refuse(
            scale and (scale.worst, scale.best),
            keep_unknown_columns=keep_unknown_columns,
            allow_halves=allow_rejects,
        )
        tally.refuse_nothing_kept()
        if not allow_rejects:
            tally.refuse_many_rejects()
        writer.place(grouper.place_all())
        summary = tally.summary(
            grouper,
            contradictions=contradictions.count,
            notes=[*losses.notes, *_absent(options.pair, tally)],
            labels=[*shaped.reports(), *(source.report() for source in label_sources)],
        )
        refuse_existing(*outputs, overwrite=overwrite)  # again: it may have come meanwhile
        writer.commit(summary)
    return summary


def _engine_for(files: Iterable[Path]) -> Engine:
    """Return this process as an engine, or all cores where they are worth their start."""
    size = sum(file.stat().st_size for file in files if file.is_file())
    return LocalEngine(processes=count_cores() if size >= _LARGE else 1)


def _checked(
    rows: Iterable[RawRow], engine: Engine, tally: Tally, losses: Losses, writer: TrafficWriter
) -> Generator[CheckedRows, None, None]:
    """Yield what became of the rows, a block at a time in their order; those that cannot be used
    are counted and written with their reasons.
    """
    ids = _Ids()
    waiting: deque[list[RawRow]] = deque()
    blocks = _waiting(row_blocks(_usable(rows, tally, losses)), waiting)
    with closing(_mapped(engine, blocks)) as checked:
        for block in checked:
            came = waiting.popleft()
            reasons, block = ids.claim_all(came, block)
            for place in sorted(reasons):
                tally.reject(reasons[place], came[place])
                writer.reject(came[place], reasons[place])
            yield block


def _mapped(engine: Engine, blocks: Iterable[list[RawRow]]) -> Generator[CheckedRows, None, None]:
    yield from engine.map_blocks(open_checks, blocks)


def _usable(rows: Iterable[RawRow], tally: Tally, losses: Losses) -> Iterator[RawRow]:
    """Yield the rows that are not left out on purpose."""
    for row in rows:
        if row.left_out:
            tally.left_out[row.left_out] += 1
            continue
        losses.see_labelled(row.fields or {})
        yield row


def _waiting(
    blocks: Iterable[list[RawRow]], waiting: deque[list[RawRow]]
) -> Iterator[list[RawRow]]:
    """Pass blocks on, and keep them for when they are checked."""
    for block in blocks:
        waiting.append(block)
        yield block


def _absent(pair: ModelPair, tally: Tally) -> Iterator[str]:
    """Say which model that was named no row is of."""
    sides = {"cheap": pair.cheap, "frontier": pair.frontier}
    for place, (side, names) in enumerate(sides.items()):
        if names and all(models[place] is None for models in tally.names):
            told = " or ".join(f"{name!r:.80}" for name in names)
            yield (
                f"no row is of the {side} model {told}: that is right where it was never called;"
                f" else name it by --{side}, exactly or as a pattern such as 'gpt-4*'"
            )


class _Ids:
    """The ids that are taken, by their hash, each with the place of its row."""

    def __init__(self) -> None:
        self._numbers = HashTable()
        self._lines = array("Q")
        # The first row of each source, in order.
        self._sources: list[tuple[int, str]] = []

    def claim_all(
        self, rows: Sequence[RawRow], block: CheckedRows
    ) -> tuple[dict[int, str], CheckedRows]:
        """Return why rows of a block cannot be used, also those with an id that an earlier row has;
        and the block without them.
        """
        kept = [place for place in range(len(rows)) if place not in block.reasons]
        taken: dict[int, str] = {}
        longer: dict[int, str] = {}
        for number, place in enumerate(kept):
            try:
                own = self._claim(rows[place], number, block)
            except InvalidValueError as error:
                taken[place] = str(error)
            else:
                if own != block.ids[number]:
                    longer[number - len(taken)] = own
        reasons = block.reasons | taken
        if taken:  # seldom, so what was made of the others is made again
            block = check_rows([rows[place] for place in kept if place not in taken])
        return reasons, block._replace(samples=block.samples.with_ids(longer))

    def _claim(self, row: RawRow, number: int, block: CheckedRows) -> str:
        """Return the id of a sample, its own or a longer one, or refuse the row."""
        own, longer, entry = block.ids[number], block.longer_ids[number], len(self._lines)
        earlier = self._numbers.setdefault(block.id_hashes[number], entry)
        if earlier != entry and longer is not None:  # another file of this name
            own = longer
            earlier = self._numbers.setdefault(hash_of(own), entry)
        if earlier != entry:
            after = bisect_right(self._sources, earlier, key=itemgetter(0))
            hint = f"Line {self._lines[earlier]} of {self._sources[after - 1][1]} has it."
            raise InvalidValueError("id", own, rule="be unique", hint=hint)
        self._lines.append(row.line)
        if not self._sources or self._sources[-1][1] != row.source:
            self._sources.append((entry, row.source))
        return own


def _files_to_read(
    sources: Sequence[Path], format: str, options: ReadOptions
) -> list[tuple[str, Format, Path]]:
    if not sources:
        raise TrafficError(
            "ingest must be given at least one source: got none. Pass a file or a folder."
        )
    once: dict[Path, tuple[str, Format, Path]] = {}  # a file named twice is read once
    for source in sources:
        name, format_, files = find_format(source, format, options)
        for file in files:
            once.setdefault(file.resolve(), (name, format_, file))
    return list(once.values())


def _rows(files: Iterable[tuple[str, Format, Path]]) -> Iterator[RawRow]:
    return (row for _, format_, file in files for row in format_.rows(file))


def _native(format: str) -> str:
    if format not in (AUTO, "native"):
        raise InvalidValueError(
            "format",
            format,
            rule="be native where columns are mapped",
            hint="Leave --map, --mapping and --pivot out, or --format.",
        )
    return "native"


def _seen(rows: Iterable[RawRow], losses: Losses, scale: Scale | None) -> Iterator[RawRow]:
    """Show rows to ``losses`` as they came, and pass them on with qualities in [0, 1]."""
    ingested: dict[str, bool] = {}
    for row in rows:
        if row.fields is None or row.problem:
            yield row
            continue
        if row.source not in ingested:
            ingested[row.source] = kind_of(Path(row.source)) is PathKind.TRAFFIC
        # What was ingested before is in [0, 1] whatever the scale of the new.
        losses.see_raw(row.fields, with_values=not ingested[row.source])
        if scale is None or ingested[row.source]:
            yield row
        else:
            yield _rescaled(row, row.fields, scale)


def _rescaled(row: RawRow, fields: Mapping[str, Any], scale: Scale) -> RawRow:
    try:
        units = {
            name: scale.to_unit(fields[name], name)
            for name in ("cheap_quality", "frontier_quality")
            if says_something(fields.get(name)) and not isinstance(fields[name], bool)
        }
    except InvalidValueError as error:
        return row._replace(problem=str(error))
    return row._replace(fields={**fields, **units})


def _through(sources: Sequence[LabelSource], rows: Iterable[RawRow]) -> Iterable[RawRow]:
    """Pass rows through label sources, the first one first."""
    for source in sources:
        rows = source.rows(rows)
    return rows


def _counted(
    rows: Iterator[RawRow], tally: Tally, progress: Callable[[int], None] | None
) -> Iterator[RawRow]:
    """Pass rows on, counting them and the columns they have."""
    for row in rows:
        tally.rows += 1
        # The first rows tell the columns, for the message when none of them can be used.
        if row.fields is not None and tally.rows <= _PROGRESS_ROWS:
            tally.columns.update(dict.fromkeys(map(str, row.fields)))
        yield row
        if progress and tally.rows % _PROGRESS_ROWS == 0:
            progress(tally.rows)
    if progress:
        progress(tally.rows)
