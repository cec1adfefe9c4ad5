"""What lies at a path: a run, a bundle, traffic, a recipe, ... Readers ask it when they are given
something else than what they read, to say what it is and what to run.

Told from names and from the first and last bytes; nothing is trusted, and little is read.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, cast

from difficulty.errors import DifficultyError, MissingExtraError, TrafficError
from difficulty.form import parse_toml

PACKINGS = (".gz", ".bz2", ".xz", ".zst", ".zip")
UNNAMED = (".log", ".txt")
"""Names that do not say what a file holds: JSON lines are told by the first of them."""
_FOREIGN = ("__MACOSX/", ".")
_LOOKED_AT = 64 * 2**10  # bytes
_ROWS = (".csv", ".json", ".jsonl", ".ndjson")
# Parquet files of ours name their version in the footer.
_INGESTED = b"difficulty.traffic.version"
_EVENT = {"bundle_version", "policy_route", "propensity", "calls"}


class PathKind(StrEnum):
    """A kind of file or folder, in words that follow "it is"."""

    RUN = "a run folder"
    BUNDLE = "a bundle"
    REGISTRY = "a registry of bundles"
    REPORT = "a report folder"
    ENCODER = "an encoder folder"
    TRAFFIC = "ingested traffic"
    ROWS = "traffic that was not ingested"
    LOG = "a decision log"
    NOTES = "what 'difficulty ingest' wrote beside its output"
    FIGURES = "the figures of an evaluation"
    RECIPE = "a recipe"
    PRICES = "a price list"
    TRUST = "a trust file"
    KEY = "a key or certificate"
    FOLDER = "a folder"
    FILE = "a file of another kind"
    NOTHING = "nothing"


_MARKS = {
    "manifest.json": PathKind.BUNDLE,
    "run.json": PathKind.RUN,
    "encoder.json": PathKind.ENCODER,
    "report.html": PathKind.REPORT,
    "state.json": PathKind.ROWS,
    "dataset_dict.json": PathKind.ROWS,
}
"""Files by which a folder is known, the surest first."""
_UNKNOWN = (PathKind.NOTHING, PathKind.FOLDER, PathKind.FILE)
_TOML = {
    PathKind.TRUST: {"public_keys", "certificates", "subjects"},
    PathKind.PRICES: {"cheap", "frontier", "hosting", "team", "scorer", "traffic"},
    PathKind.RECIPE: {"features", "split", "text", "target", "seed", "policy", "labels", "search"},
}
_NAMES = {
    PathKind.RUN: "Name a folder written by 'difficulty train'.",
    PathKind.BUNDLE: "Name a folder written by 'difficulty ship'.",
    PathKind.TRAFFIC: "Name a file written by 'difficulty ingest'.",
    PathKind.ROWS: "Name the files that requests and outcomes stand in.",
    PathKind.LOG: "Name the file or folder that the gateway writes its decisions to.",
}
_FETCH = "Run: difficulty fetch NAME -o {bundle} --registry {path}"
_INGEST_FIRST = "Ingest it, then train on that. Run: difficulty ingest {path} -o {traffic}"
_STEPS = {
    (PathKind.TRAFFIC, PathKind.ROWS): "Run: difficulty ingest {path} -o {traffic}",
    (PathKind.TRAFFIC, PathKind.LOG): "Run: difficulty ingest {path} -o {traffic}",
    (PathKind.RUN, PathKind.TRAFFIC): "Run: difficulty train {path} -o {run}",
    (PathKind.RUN, PathKind.ROWS): _INGEST_FIRST,
    (PathKind.RUN, PathKind.LOG): _INGEST_FIRST,
    (PathKind.RUN, PathKind.BUNDLE): "Name the run folder that it was shipped from.",
    (PathKind.BUNDLE, PathKind.RUN): "Run: difficulty ship {path} -o {bundle}",
    (PathKind.BUNDLE, PathKind.REGISTRY): _FETCH,
    (PathKind.ROWS, PathKind.RUN): "Name the traffic that it was trained on, or its sources.",
    (PathKind.ROWS, PathKind.NOTES): "Mend the rows in their source, and ingest that.",
}


def kind_of(path: Path) -> PathKind:
    """Return what lies at a path; never raises, and opens nothing but plain files."""
    try:
        if path.is_dir():
            return _kind_of_folder(path)
        if path.is_file():
            return _kind_of_file(path)
        return PathKind.FILE if path.exists() else PathKind.NOTHING
    except DifficultyError:  # a damaged archive, or one of many files
        return PathKind.FILE
    except (OSError, ValueError):  # unreadable, or a name that no file can have
        return PathKind.NOTHING


def mistaken(path: Path, wanted: PathKind) -> str:
    """Return what to tell somebody who named a path where ``wanted`` belongs: what it is, and what
    to run; empty where that is not known.

    The advice names no output that is there already.
    """
    import shlex  # here and below: routers import this module and are seldom mistaken

    found = kind_of(path)
    if found in _UNKNOWN or found is wanted:
        return ""
    step = _STEPS.get((wanted, found), _NAMES.get(wanted, ""))
    name = path.resolve().name
    step = step.format(
        path=shlex.quote(str(path)),
        traffic=free_name("traffic.parquet"),
        run=free_name("runs/first"),
        bundle=shlex.quote(free_name(f"bundles/{name}-1")),
    )
    return f"{str(path)!r} must be {wanted}: it is {found}. {step}"


def free_name(name: str) -> str:
    """Return a name that nothing has yet: this one, or one with a number."""
    path, number = Path(name), 1
    while path.exists():
        number += 1
        path = Path(name).with_stem(f"{Path(name).stem}-{number}")
    return str(path)


def _kind_of_folder(path: Path) -> PathKind:
    for name, kind in _MARKS.items():
        if (path / name).is_file():
            return kind
    if next(path.glob("*/journal.json"), None):
        return PathKind.REGISTRY
    return PathKind.FOLDER


def _kind_of_file(path: Path) -> PathKind:
    name = path.name.lower()
    if name.endswith((".rejects.jsonl", ".summary.json")):
        return PathKind.NOTES
    if name in ("metrics.json", "economics.json"):
        return PathKind.FIGURES
    with path.open("rb") as file:
        head = file.read(_LOOKED_AT)
        file.seek(max(0, path.stat().st_size - _LOOKED_AT))
        tail = file.read(_LOOKED_AT)
    if head.startswith(b"PAR1"):
        return PathKind.TRAFFIC if _INGESTED in tail else PathKind.ROWS
    if plain_name(path).endswith(_ROWS):
        return _kind_of_rows(_head_of(path))
    if name.endswith(".toml"):
        return _kind_of_toml(head)
    return PathKind.KEY if b"-----BEGIN " in head[:200] else PathKind.FILE


def _kind_of_toml(head: bytes) -> PathKind:
    try:
        keys = {*parse_toml(head.decode("utf-8"))}
    except ValueError:
        return PathKind.FILE
    shared = {kind: len(keys & known) for kind, known in _TOML.items()}
    best = max(shared, key=shared.__getitem__)
    return best if shared[best] else PathKind.FILE


def _kind_of_rows(head: bytes) -> PathKind:
    try:
        first: Any = json.loads(head.partition(b"\n")[0])
    except (ValueError, RecursionError):
        return PathKind.ROWS
    return PathKind.LOG if isinstance(first, dict) and first.keys() >= _EVENT else PathKind.ROWS


def _head_of(path: Path) -> bytes:
    """Return the first bytes of what a text file holds; none where it is damaged."""
    try:
        with unpacked(path) as (file, _):
            return file.read(_LOOKED_AT)
    except damage_errors():
        return b""


def is_packed(path: Path) -> bool:
    """Return whether a file is packed, by its name."""
    return path.suffix.lower() in PACKINGS


def plain_name(path: Path) -> str:
    """Return the name, in lower case, of what a file holds: that of the file in a ``.zip``, else
    the name without its packing; with ``.jsonl`` in place of ``.log`` or ``.txt`` where its first
    line is a JSON object.

    Raises
    ------
    TrafficError
        If a ``.zip`` cannot be read or does not hold exactly one file.
    """
    name = (path.with_suffix("") if is_packed(path) else path).name.lower()
    if path.suffix.lower() == ".zip" and path.is_file():
        import zipfile

        try:
            with zipfile.ZipFile(path) as archive:
                name = Path(_member(path, archive).filename).name.lower()
        except damage_errors() as error:
            raise TrafficError(
                f"{path} cannot be read: {error}. Check that the file is complete."
            ) from error
    plain = Path(name)
    if plain.suffix in UNNAMED and path.is_file() and _begins_as_json_lines(_head_of(path)):
        return plain.with_suffix(".jsonl").name
    return name


def _begins_as_json_lines(head: bytes) -> bool:
    line, end, _ = head.removeprefix(b"\xef\xbb\xbf").lstrip().partition(b"\n")
    if not end and len(head) == _LOOKED_AT:  # of a long line no more was read
        return line.startswith((b'{"', b'{ "'))
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def damage_errors() -> tuple[type[Exception], ...]:
    """Return what reading a damaged archive raises; ``RuntimeError``: one with a password."""
    import lzma
    import zipfile
    import zlib

    return OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError


@contextmanager
def unpacked(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Open a text file: what it holds, and the file as it lies on the disk, whose position tells
    how much was read.

    Raises
    ------
    TrafficError
        If a ``.zip`` does not hold exactly one file.
    """
    with ExitStack() as stack:
        on_disk = stack.enter_context(path.open("rb"))
        yield _opened(path, on_disk, stack), on_disk


def _opened(path: Path, on_disk: IO[bytes], stack: ExitStack) -> IO[bytes]:
    match path.suffix.lower():
        case ".gz":
            import gzip

            archive: Any = gzip.GzipFile(fileobj=on_disk)
        case ".bz2":
            import bz2

            archive = bz2.BZ2File(on_disk)
        case ".xz":
            import lzma

            archive = lzma.LZMAFile(on_disk)
        case ".zst":
            archive = _open_zstd(on_disk)
        case ".zip":
            import zipfile

            whole = stack.enter_context(zipfile.ZipFile(on_disk))
            archive = whole.open(_member(path, whole))
        case _:
            return on_disk
    return cast(IO[bytes], stack.enter_context(archive))


def _open_zstd(on_disk: IO[bytes]) -> Any:
    """Return a Zstandard file as Arrow reads it, which Parquet needs anyway."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingExtraError("reading .zst", package="pyarrow", extra="train") from error
    return io.BufferedReader(pa.CompressedInputStream(on_disk, "zstd"))


def _member(path: Path, archive: Any) -> Any:
    """Return the one file of an archive; what a file manager puts beside it does not count."""
    members = [
        member
        for member in archive.infolist()
        if not member.is_dir()
        and not member.filename.startswith(_FOREIGN)
        and not Path(member.filename).name.startswith(".")
    ]
    if len(members) != 1:
        raise TrafficError(
            f"a .zip must hold one file: {path} holds {len(members):,}. Unpack it, and pass the"
            " folder."
        )
    return members[0]
