"""Write ingested traffic: Parquet with the rejects and the summary beside it, all of them or
none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from difficulty.errors import DifficultyError, TrafficError
from difficulty.storage import move_into_place, scratch_beside
from difficulty.traffic.checks.sample_table import SampleTable, as_json
from difficulty.traffic.duplicates import Placement
from difficulty.traffic.readers import RawRow
from difficulty.traffic.summary import Summary
from difficulty.traffic.table import REJECTED_KEY, ROWS_KEY, SCHEMA, VERSION, VERSION_KEY, pa, pq

if TYPE_CHECKING:
    import pyarrow

# A row group is cut by rows and by characters: long texts must not pile up in memory.
_GROUP_ROWS = 4_096
_GROUP_CHARS = 8 * 2**20
_SHOWN = 2_000  # characters of a rejected row


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
        # A row group is cut by rows and by characters: a million long texts must not wait in
        # memory.
        self._waiting: list[pyarrow.Table] = []
        self._rows = self._chars = 0  # of those, that belong to the next group
        self.kept = 0
        self.rejected = 0

    def __enter__(self) -> Self:
        try:
            # Opened before the first row is read, so a folder that cannot be written to fails at
            # once.
            self._scratch = self._stack.enter_context(scratch_beside(self._out))
            self._rejects = self._unfinished(rejects_path(self._out)).open(
                "w", encoding="utf-8", newline="\n"
            )
            # Packed in a hurry, as it is read once.
            self._unplaced_path = self.folder / "unplaced.arrow"
            self._sink = self._stack.enter_context(pa.OSFile(str(self._unplaced_path), "wb"))
        except OSError as error:
            self._stack.close()
            raise TrafficError(
                f"{str(self._out)!r} must be writable: {error}. Choose another folder."
            ) from error
        packed = pa.ipc.IpcWriteOptions(compression="lz4")
        self._unplaced = pa.ipc.new_file(self._sink, SCHEMA, options=packed)
        # zstd: requests are text that repeats itself.
        self._parquet = pq.ParquetWriter(self._unfinished(self._out), SCHEMA, compression="zstd")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):  # a full disk fails again here; what matters is the first error
            self._unplaced.close()
            self._parquet.close()
            self._rejects.close()
        self._stack.close()
        if isinstance(error, OSError) and not isinstance(error, DifficultyError):
            raise TrafficError(
                f"{str(self._out)!r} must be writable: {error}. Free some space or choose another"
                " folder."
            ) from error

    @property
    def folder(self) -> Path:
        """Where unfinished files stand; it goes with what is left in it."""
        return self._scratch

    def add(self, samples: SampleTable) -> None:
        """Write samples, whose keys :meth:`place` adds."""
        self._waiting.append(samples.table)
        self.kept += len(samples.table)
        for size in samples.sizes:
            self._rows += 1
            self._chars += size
            if self._rows >= _GROUP_ROWS or self._chars >= _GROUP_CHARS:
                self._flush()

    def place(self, placements: Iterable[Placement]) -> None:
        """Write all samples with their placements, in their order, a row group at a time."""
        if self._rows:
            self._flush()
        self._unplaced.close()
        following = iter(placements)
        with pa.OSFile(str(self._unplaced_path)) as file, pa.ipc.open_file(file) as groups:
            for number in range(groups.num_record_batches):
                table = pa.Table.from_batches([groups.get_batch(number)])
                some = list(islice(following, len(table)))
                columns = {
                    "split_group": [each.split_group for each in some],
                    "near_groups": [each.near_groups for each in some],
                }
                for name, values in columns.items():
                    field = SCHEMA.field(name)
                    column = pa.array(values, type=field.type)
                    table = table.set_column(SCHEMA.get_field_index(name), field, column)
                self._parquet.write_table(table)

    def reject(self, row: RawRow, reason: str) -> None:
        """Write a row that is not used, with the reason."""
        fields = row.fields or {}
        shown = row.raw if row.fields is None else as_json(fields)
        note = {
            "source": row.source,
            "line": row.line,
            "id": fields.get("id"),
            "reason": reason[:_SHOWN],
            "row": shown[:_SHOWN],
        }
        self._rejects.write(as_json(note) + "\n")
        self.rejected += 1

    def commit(self, summary: Summary | None) -> None:
        """Finish the files, once samples are placed, and move them into place, the traffic last;
        without a summary there is no such file.
        """
        # At the end, where the counts are known: a reader compares them with the rows.
        self._parquet.add_key_value_metadata(
            {VERSION_KEY: str(VERSION), ROWS_KEY: str(self.kept), REJECTED_KEY: str(self.rejected)}
        )
        self._parquet.close()
        self._rejects.close()
        notes = [summary_path(self._out)] if summary else []
        for path in notes:
            text = json.dumps(summary and summary.as_dict(), indent=2, ensure_ascii=False)
            self._unfinished(path).write_text(text + "\n", encoding="utf-8")
        if not self.rejected:
            rejects_path(self._out).unlink(missing_ok=True)  # of an earlier run
        rejects = [rejects_path(self._out)] if self.rejected else []
        # The traffic last: where it stands, its notes do too.
        for path in (*rejects, *notes, self._out):
            move_into_place(self._unfinished(path), path)

    def _flush(self) -> None:
        """Lay by the rows of a group, which are the first of those that wait."""
        table = pa.concat_tables(self._waiting)
        self._unplaced.write_table(table.slice(0, self._rows).combine_chunks())
        self._waiting = [table.slice(self._rows)]
        self._rows = self._chars = 0

    def _unfinished(self, path: Path) -> Path:
        return self._scratch / path.name
