"""Traffic in whatever people have it: a path, or a frame, table or list in memory, which becomes a
file that ``ingest`` reads.
"""

from __future__ import annotations

import json
import math
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from itertools import chain
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, ParamSpec, TypeAlias, TypeVar
from weakref import finalize

from difficulty.errors import DifficultyError, InvalidValueError, MissingExtraError, in_python
from difficulty.storage import local_copy, url_of

AnyPath: TypeAlias = str | Path
Given = ParamSpec("Given")
Result = TypeVar("Result")

_RULE = "be a path, a frame (pandas, polars), a datasets.Dataset, an Arrow table or a list of dicts"


class HeldFolder:
    """A temporary folder that goes when nothing holds this any more.

    Attributes
    ----------
    path : Path
    """

    def __init__(self) -> None:
        self.path = Path(mkdtemp(prefix="difficulty-"))
        # TemporaryDirectory warns where it is left to this.
        finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def speaks_python(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Have a function raise errors that name keyword arguments, where steps name options."""

    @wraps(function)
    def called(*arguments: Given.args, **options: Given.kwargs) -> Result:
        try:
            return function(*arguments, **options)
        except DifficultyError as error:
            error.args = (in_python(str(error)), *error.args[1:])
            raise

    return called


def as_path(path: AnyPath) -> Path:
    """Return a path of either type, ``~`` spelt out."""
    return Path(path).expanduser()


def as_folder(path: AnyPath) -> tuple[Path, HeldFolder | None]:
    """Return a local folder: the one that is named, or a copy of what lies behind a URL, with what
    holds it.
    """
    folder = as_path(path)
    if not url_of(folder):
        return folder, None
    holder = HeldFolder()
    with local_copy(folder) as copy:
        shutil.copytree(copy, holder.path / folder.name)
    return holder.path / folder.name, holder


def make_parent(path: Path) -> None:
    """Make the folder in which a local path is to stand."""
    if not url_of(path):
        path.parent.mkdir(parents=True, exist_ok=True)


def find_sources(data: Any, folder: Path) -> list[Path]:
    """Return the files to ingest: those that were named, or one that is written into ``folder``.

    Parameters
    ----------
    data : str, Path, sequence of them, or anything that :func:`write_rows` takes

    Raises
    ------
    InvalidValueError
        If it is none of these.
    """
    if isinstance(data, str | Path):
        return [as_path(data)]
    if (
        isinstance(data, list | tuple)
        and data
        and all(isinstance(each, str | Path) for each in data)
    ):
        return [as_path(each) for each in data]
    return write_rows(data, folder)


def write_rows(data: Any, folder: Path) -> list[Path]:
    """Write rows in memory into files that ``ingest`` reads, and return these.

    Nothing imports pandas, polars or datasets: each hands on its rows in Arrow's form.

    Parameters
    ----------
    data : frame, table, mapping of them, or iterable of mappings
        A mapping (``datasets.DatasetDict``) has a part under each name.
    folder : Path
        Where the files go.
    """
    if isinstance(data, Mapping):
        parts = {str(name): part for name, part in data.items()}
        if parts and all(map(_is_table, parts.values())):
            return [
                _write_table(part, folder / f"{number}-rows")
                for number, part in enumerate(parts.values())
            ]
        raise InvalidValueError("data", _kind(data), rule=_RULE)
    if _is_table(data):
        return [_write_table(data, folder / "rows")]
    if isinstance(data, Iterable) and not isinstance(data, str | bytes):
        return [_write_lines(data, folder / "rows.jsonl")]
    raise InvalidValueError("data", _kind(data), rule=_RULE)


def _kind(data: Any) -> str:
    # Its type: what it holds is the users' own.
    return type(data).__name__


def _is_table(data: Any) -> bool:
    return hasattr(data, "__arrow_c_stream__") or _is_frame(data) or _is_dataset(data)


def _is_frame(data: Any) -> bool:
    """Return whether it is a pandas frame, whose index is no column."""
    return hasattr(data, "to_dict") and hasattr(data, "reset_index")


def _is_dataset(data: Any) -> bool:
    return hasattr(data, "with_format") and hasattr(data, "features")


def _write_table(data: Any, name: Path) -> Path:
    """Write a frame or table as Parquet; as JSON lines where its values are of many kinds."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("reading tables", package="pyarrow", extra="train") from error
    path = name.with_suffix(".parquet")
    try:
        table = _as_table(data, pa)
        if table is not None:
            pq.write_table(table, path)
            return path
    except (pa.ArrowException, TypeError):
        # Parts and texts in one column, objects of a class: Arrow has one type a column.
        path.unlink(missing_ok=True)
    return _write_lines(_records_of(data), name.with_suffix(".jsonl"))


def _as_table(data: Any, pa: Any) -> Any:
    """Return an Arrow table, or ``None`` for a dataset that can only be walked through."""
    if _is_frame(data):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the two libraries have to say to each other
            return pa.Table.from_pandas(data, preserve_index=False)
    if _is_dataset(data):
        return data.with_format("arrow")[:] if hasattr(data, "num_rows") else None
    return pa.table(data)


def _records_of(data: Any) -> Iterable[Any]:
    if _is_frame(data):
        return data.to_dict("records")  # type: ignore[no-any-return]
    for name in ("to_dicts", "to_pylist"):  # of polars, of pyarrow
        if hasattr(data, name):
            return getattr(data, name)()  # type: ignore[no-any-return]
    return data  # type: ignore[no-any-return]


def _write_lines(rows: Iterable[Any], path: Path) -> Path:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(_lines(rows))
    return path


def _lines(rows: Iterable[Any]) -> Iterator[str]:
    walked = iter(rows)
    first = next(walked, None)
    if first is not None and not isinstance(first, Mapping):
        raise InvalidValueError("data", f"an iterable of {_kind(first)}", rule=_RULE)
    for row in chain([] if first is None else [first], walked):
        yield json.dumps(_without_nan(row), default=_plain) + "\n"


def _without_nan(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with null for NaN, which is how frames write what is unknown."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in row.items()
    }


def _plain(value: Any) -> Any:
    """Return what JSON knows: numpy's numbers and arrays as Python's, times as ISO 8601."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return str(value)
