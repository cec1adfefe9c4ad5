"""What lies at a path: a run, a bundle, traffic, a recipe, ... Readers ask it when they are given
something else than what they read, to say what it is and what to run.

Told from names and from the first and last bytes; nothing is trusted, and little is read.
"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Any

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
}
_FETCH = "Run: difficulty fetch NAME -o {bundle} --registry {path}"
_INGEST_FIRST = "Run: difficulty ingest {path} -o {traffic}, then difficulty train."
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
    if name.removesuffix(".gz").endswith(_ROWS):
        return _kind_of_rows(_unpacked(head) if name.endswith(".gz") else head)
    if name.endswith(".toml"):
        return _kind_of_toml(head)
    return PathKind.KEY if b"-----BEGIN " in head[:200] else PathKind.FILE


def _kind_of_toml(head: bytes) -> PathKind:
    import tomllib

    try:
        keys = {*tomllib.loads(head.decode("utf-8"))}
    except (ValueError, RecursionError):
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


def _unpacked(head: bytes) -> bytes:
    """Return the beginning of what was packed; empty where it is damaged."""
    import zlib

    try:
        return zlib.decompressobj(wbits=31).decompress(head, _LOOKED_AT)
    except zlib.error:
        return b""
