"""Traffic at a prompt: read from anything, counted, shown, and turned into a frame again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from difficulty.errors import InvalidValueError
from difficulty.evaluation.displays.frames import frame_of
from difficulty.evaluation.displays.summary_html import shortened, table_html
from difficulty.face.given_data import (
    AnyPath,
    HeldFolder,
    as_path,
    find_sources,
    make_parent,
    speaks_python,
)
from difficulty.kinds import PathKind, kind_of
from difficulty.storage import refuse_existing
from difficulty.text import quantity_text
from difficulty.traffic.columnar import read_parquet
from difficulty.traffic.readers import read_json_lines
from difficulty.traffic.rows import Scale
from difficulty.traffic.table import Traffic
from difficulty.traffic.writer import rejects_path, summary_path

if TYPE_CHECKING:
    from pandas import DataFrame

    from difficulty.traffic.summary import Summary

_MOST_WARNINGS = 4


class TrafficData:
    """Checked traffic, as :func:`read` returns it.

    Parameters
    ----------
    path : str or Path
        A file that ``ingest`` wrote.

    Attributes
    ----------
    path : Path
        The file with its rows; of data from memory it is a temporary one, which goes with the
        object: :meth:`save` keeps it.
    """

    def __init__(self, path: AnyPath, *, _holder: HeldFolder | None = None) -> None:
        self.path = as_path(path)
        self._holder = _holder  # its folder is removed when nothing refers to it any more

    @classmethod
    def from_pandas(cls, frame: DataFrame, **options: Any) -> TrafficData:
        """Return the traffic in a pandas frame; options as in :func:`read`."""
        return _read(frame, **options)

    @classmethod
    def from_polars(cls, frame: Any, **options: Any) -> TrafficData:
        """Return the traffic in a polars frame; options as in :func:`read`."""
        return _read(frame, **options)

    @classmethod
    def from_arrow(cls, table: Any, **options: Any) -> TrafficData:
        """Return the traffic in an Arrow table; options as in :func:`read`."""
        return _read(table, **options)

    @classmethod
    def from_records(cls, rows: Iterable[Mapping[str, Any]], **options: Any) -> TrafficData:
        """Return the traffic in a list of dicts; options as in :func:`read`."""
        return _read(rows, **options)

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def rows(self) -> Traffic:
        """The samples as columns, as training and evaluation read them."""
        return Traffic.read(self.path)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What ``ingest`` counted; empty where the file stands without its summary."""
        path = summary_path(self.path)
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    @property
    def rejects(self) -> list[dict[str, Any]]:
        """The rows that could not be used, each with the reason."""
        path = rejects_path(self.path)
        return [dict(row.fields or {}) for row in read_json_lines(path)] if path.is_file() else []

    def to_frame(self) -> DataFrame:
        """Return the samples as a pandas frame with the columns that they came with; :func:`read`
        reads it again.
        """
        return frame_of(row.fields or {} for row in read_parquet(self.path))

    to_pandas = to_frame

    def save(self, path: AnyPath, *, overwrite: bool = False) -> TrafficData:
        """Write the traffic, its rejects and its summary to a ``.parquet`` file of your own.

        Raises
        ------
        OutputExistsError
            If something is there already and may not be replaced.
        """
        out = as_path(path)
        if out.suffix.lower() != ".parquet":
            raise InvalidValueError("path", str(path), rule="end in .parquet")
        beside = (rejects_path, summary_path)
        pairs = [(self.path, out), *((place(self.path), place(out)) for place in beside)]
        refuse_existing(*(target for _, target in pairs), overwrite=overwrite)
        make_parent(out)
        for source, target in pairs:
            if source.is_file():
                shutil.copyfile(source, target)
        return TrafficData(out)

    def split(
        self, parts: Mapping[str, float] | None = None, *, by: str = "hash", seed: int = 0
    ) -> dict[str, TrafficData]:
        """Return disjoint parts: no request, group or nearly equal text stands in two.

        Parameters
        ----------
        parts : mapping of str to float, optional
            Name to share; default: train 0.6, choose 0.2, judge 0.2.
        by : {"hash", "time"}
        seed : int
            Another seed gives other parts.
        """
        from difficulty.stages.watching.splitting import PARTS, split

        given: object = parts
        if given is not None and not isinstance(given, Mapping):
            raise InvalidValueError(
                "parts",
                type(given).__name__,
                rule="name each part with its share, such as {'train': 0.8, 'judge': 0.2}",
            )
        holder = HeldFolder()
        out = holder.path / "parts"
        split(self.path, out, by=by, parts=parts or PARTS, seed=seed)
        return {
            name: TrafficData(out / f"{name}.parquet", _holder=holder) for name in parts or PARTS
        }

    def __repr__(self) -> str:
        known = [f"{name} of {n:,}" for name, n in self._known_outcomes().items() if n]
        if rejected := self._rejected():
            known.append(f"{quantity_text(rejected, 'row')} rejected, see .rejects")
        return shortened(
            f"Traffic({quantity_text(len(self), 'request')}, {', '.join(known) or 'no outcome'})"
        )

    def _rejected(self) -> int:
        """Return how many rows could not be used."""
        return int(sum(self.summary.get("rejected", {}).values()))

    def _known_outcomes(self) -> dict[str, int]:
        """Return of how many requests each kind of outcome is known."""
        if "known_outcomes" in self.summary:
            return dict(self.summary["known_outcomes"])
        outcomes = self.rows.outcomes  # of a part, or a file that was moved: counted again
        columns = {
            "cheap_quality": outcomes.cheap_quality,
            "frontier_quality": outcomes.frontier_quality,
            "both": outcomes.cheap_quality + outcomes.frontier_quality,
            "preference": outcomes.preferred_gain,
        }
        return {name: int((~np.isnan(values)).sum()) for name, values in columns.items()}

    def _repr_html_(self) -> str:
        summary = self.summary
        lines = [("requests", f"{len(self):,}")]
        if rejected := self._rejected():
            lines.append(("rejected rows", f"{rejected:,} (see .rejects)"))
        lines += [(f"{name} known", f"{n:,}") for name, n in self._known_outcomes().items() if n]
        for name in ("cheap_quality", "frontier_quality"):
            if (mean := summary.get(name)) is not None:
                lines.append((f"mean {name}", f"{mean:.3f}"))
        if (better := summary.get("frontier_better")) is not None:
            lines.append(("frontier model did better", f"{100 * better:.1f} %"))
        return table_html("Traffic", lines, summary.get("warnings", ())[:_MOST_WARNINGS])


@speaks_python
def read(
    data: Any,
    *,
    format: str = "auto",
    labels: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    scale: tuple[float, float] | None = None,
    cheap: str | Sequence[str] = (),
    frontier: str | Sequence[str] = (),
    near_duplicates: bool = True,
    keep_unknown_columns: bool = False,
    allow_rejects: bool = False,
) -> TrafficData:
    """Read labelled traffic from a file or from memory, and check it.

    Parameters
    ----------
    data : path, list of paths, pandas or polars frame, datasets.Dataset, Arrow table, list of dicts
        Anything with ``__arrow_c_stream__`` is a table. Traffic that was ingested is opened as it
        is.
    format : str
        A name of docs/traffic.md; ``auto`` finds it.
    labels : sequence of str
        Label sources of raw columns, such as ``"judge:scale=1,10"``.
    columns : mapping of str to str, optional
        Field of the sample record to column: ``{"prompt": "User text"}``.
    scale : pair of float, optional
        Worst and best of ``cheap_quality`` and ``frontier_quality``, where that is not (0, 1).
    cheap, frontier : str or sequence of str
        How the rows name the two models, where they name more.
    near_duplicates : bool
        Keep nearly equal texts on one side of a split, not only equal ones.
    keep_unknown_columns : bool
        Keep columns that look like misspelt ones as extras.
    allow_rejects : bool
        Go on where more than a fifth of the rows cannot be used.

    Returns
    -------
    TrafficData
        ``len()`` of it, ``.rejects``, ``.to_frame()``, ``.save(path)``.

    Raises
    ------
    InvalidValueError
        If ``data`` is none of these.
    TrafficError
        If nothing in it can be used, or much would be lost.

    Examples
    --------
    >>> import difficulty as d
    >>> traffic = d.read("calls.jsonl", columns={"prompt": "question"})  # doctest: +SKIP
    """
    return _read(
        data,
        format=format,
        labels=labels,
        columns=columns,
        scale=scale,
        cheap=cheap,
        frontier=frontier,
        near_duplicates=near_duplicates,
        keep_unknown_columns=keep_unknown_columns,
        allow_rejects=allow_rejects,
    )


@speaks_python
def ingest(
    data: Any,
    out: AnyPath,
    *,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
    **options: Any,
) -> Summary:
    """Read labelled traffic, check it and write it to a ``.parquet`` file: ``difficulty ingest``.

    Parameters
    ----------
    data : as in :func:`read`
    out : str or Path
        A ``.parquet`` file; rejects and a summary stand beside it.
    overwrite : bool
        Whether what is there may be replaced.
    progress : callable, optional
        Told the number of rows read so far.
    **options
        As in :func:`read`.

    Returns
    -------
    Summary
        What was read, kept and found.
    """
    from difficulty.stages.ingest import ingest as run

    with TemporaryDirectory(prefix="difficulty-") as folder:
        given = data.path if isinstance(data, TrafficData) else data
        return run(
            find_sources(given, Path(folder)),
            as_path(out),
            overwrite=overwrite,
            progress=progress,
            **_stage_options(**options),
        )


def as_traffic(data: Any) -> TrafficData:
    """Return what was given where traffic belongs as traffic."""
    return data if isinstance(data, TrafficData) else _read(data)


def _read(data: Any, **options: Any) -> TrafficData:
    if isinstance(data, TrafficData):
        return data
    asked = {name: value for name, value in options.items() if value != _DEFAULTS.get(name)}
    if isinstance(data, str | Path) and not asked and kind_of(as_path(data)) is PathKind.TRAFFIC:
        return TrafficData(data)
    holder = HeldFolder()
    out = holder.path / "traffic.parquet"
    ingest(data, out, **options)
    return TrafficData(out, _holder=holder)


_DEFAULTS: Mapping[str, Any] = {
    "format": "auto",
    "labels": (),
    "columns": None,
    "scale": None,
    "cheap": (),
    "frontier": (),
    "near_duplicates": True,
    "keep_unknown_columns": False,
    "allow_rejects": False,
}


def _stage_options(
    *,
    columns: Mapping[str, str] | None = None,
    scale: tuple[float, float] | None = None,
    cheap: str | Sequence[str] = (),
    frontier: str | Sequence[str] = (),
    **plain: Any,
) -> dict[str, Any]:
    """Return the options of the stage: plain values become its records."""
    from difficulty.traffic.reading.dialect import ReadOptions
    from difficulty.traffic.reading.mapping import TableMapping
    from difficulty.traffic.reading.named_pair import ModelPair

    unknown = sorted({*plain} - {*_DEFAULTS})
    if unknown:
        raise InvalidValueError(
            "an option", unknown[0], rule=f"be one of {', '.join(sorted(_DEFAULTS))}"
        )
    pair = ModelPair(cheap=_names(cheap), frontier=_names(frontier))
    return {
        **plain,
        "scale": Scale.of(scale, example="scale=(1, 5)") if scale else None,
        "options": ReadOptions(pair=pair),
        "mapping": TableMapping(columns=dict(columns)) if columns else None,
    }


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
