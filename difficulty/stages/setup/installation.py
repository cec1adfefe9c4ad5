"""Examine: what of this installation is there, what works, and what to run for the rest."""

from __future__ import annotations

import importlib
import os
import platform
import re
import sys
from base64 import b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal, NamedTuple

from difficulty import __version__
from difficulty.errors import UnknownNameError, install_command
from difficulty.form import Record
from difficulty.storage import DEFAULT_CACHE

State = Literal["ok", "missing", "broken"]
OLDEST_PYTHON = (3, 11)
NEWEST_PYTHON = (3, 14)
"""The newest that every package of the base install has wheels for; a later one may do."""
OF_DEVELOPERS = ("benchmark", "dev", "docs", "release")
"""Extras for those who change the code."""
_BASE = ("numpy", "onnxruntime", "tokenizers", "typer", "rich")
_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)(?:\[[^\]]*\])?\s*(?P<versions>[^;]*?)"
    r"(?:;.*\bextra\s*==\s*[\"'](?P<extra>[\w-]+)[\"'].*)?"
)
# A graph that returns its input: what it needs is an onnxruntime that loads.
_GRAPH = b64decode(
    "CAgSADo3ChAKAXgSAXkiCElkZW50aXR5EgFnWg8KAXgSCgoICAESBAoCCAFiDwoBeRIKCggIARIECgIIAUIECgAQEQ=="
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupLine(Record):
    """One thing that was looked at."""

    name: str
    state: State
    told: str
    """What is there, or what is wrong and what to run."""
    needed: bool = False
    """Whether something that was asked for does not work without it."""


class _Requirement(NamedTuple):
    name: str
    versions: str
    extra: str

    @property
    def lack(self) -> str:
        """What is wrong with it here; empty: nothing."""
        try:
            found = version(self.name)
        except PackageNotFoundError:
            return self.name
        least = re.search(r">=\s*([\w.]+)", self.versions)
        if least and _numbers(found) < _numbers(least[1]):
            return f"{self.name} {found} is older than {least[1]}"
        return ""


def examine(wanted: Sequence[str] = ()) -> list[SetupLine]:
    """Return a line for each part of the installation.

    Parameters
    ----------
    wanted : sequence of str
        Extras that have to be whole.

    Raises
    ------
    UnknownNameError
        If there is no such extra.
    """
    requirements = _requirements()
    extras = sorted({each.extra for each in requirements if each.extra} - {*OF_DEVELOPERS})
    for name in wanted:
        if name not in {each.extra for each in requirements}:
            raise UnknownNameError("extra", name, extras)
    lines = [_python(), _package()]
    lines += [_base(each) for each in requirements if not each.extra]
    lines += [
        _checked("scoring", _run_graph, "onnxruntime runs a graph", needed=True),
        _checked("recipes and encoder", _find_shipped, "those that are shipped are there"),
        _checked("cache", _write_cache, f"{DEFAULT_CACHE} can be written to"),
        _checked("locks", _lock_file, "registries can be changed here"),
    ]
    shown = [*extras, *(name for name in wanted if name in OF_DEVELOPERS)]
    lines += [
        _extra(name, [each for each in requirements if each.extra == name], needed=name in wanted)
        for name in shown
    ]
    return lines


def works(lines: Sequence[SetupLine]) -> bool:
    """Return whether everything that is needed is there."""
    return all(line.state == "ok" for line in lines if line.needed)


def extra_of(package: str) -> str:
    """Return the extra that brings a package, by the name under which it is imported; ``train``
    where several do, or none is known to.
    """
    names = {package, _DISTRIBUTIONS.get(package, package)}
    extras = {each.extra for each in _requirements() if each.name.replace("-", "_") in names}
    known = sorted(extras - {*OF_DEVELOPERS, ""})
    return known[0] if len(known) == 1 else "train"


_DISTRIBUTIONS = {"sklearn": "scikit_learn", "OpenSSL": "pyopenssl", "ray": "ray"}
"""Names of imports that are not those of their packages."""


def _requirements() -> list[_Requirement]:
    try:
        texts = requires("difficulty") or []
    except PackageNotFoundError:  # run from its source, never installed
        texts = list(_BASE)
    matches = (_REQUIREMENT.fullmatch(text.strip()) for text in texts)
    return [
        _Requirement(match["name"], match["versions"].strip(), match["extra"] or "")
        for match in matches
        if match
    ]


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text.partition("+")[0])[:3])


def _python() -> SetupLine:
    told = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info[:2] < OLDEST_PYTHON:
        least = ".".join(map(str, OLDEST_PYTHON))
        return SetupLine(
            name="python", state="broken", told=f"{told}: {least} is needed", needed=True
        )
    if sys.version_info[:2] > NEWEST_PYTHON:
        newest = ".".join(map(str, NEWEST_PYTHON))
        told += f" (newer than {newest}, the last that has wheels of all it needs)"
    return SetupLine(name="python", state="ok", told=told, needed=True)


def _package() -> SetupLine:
    place = Path(__file__).resolve().parents[2]
    try:
        found = version("difficulty")
    except PackageNotFoundError:
        found = __version__
    told = f"{__version__}, {place}"
    if found != __version__:
        told += f"; installed is {found}: {install_command('train')}"
    return SetupLine(name="difficulty", state="ok", told=told, needed=True)


def _base(requirement: _Requirement) -> SetupLine:
    """Return whether a package of the base install loads."""
    name = requirement.name
    if lack := requirement.lack:
        told = f"{lack}. Run: pip install '{name}{requirement.versions}'"
        return SetupLine(name=name, state="missing", told=told, needed=True)
    return _checked(name, lambda: importlib.import_module(name), version(name), needed=True)


def _extra(name: str, requirements: Sequence[_Requirement], *, needed: bool) -> SetupLine:
    lacks = [lack for each in requirements if (lack := each.lack)]
    if lacks:
        told = f"{', '.join(lacks)}. Run: {install_command(name)}"
        return SetupLine(name=f"extra {name}", state="missing", told=told, needed=needed)
    told = ", ".join(f"{each.name} {version(each.name)}" for each in requirements)
    return SetupLine(name=f"extra {name}", state="ok", told=told, needed=needed)


def _checked(
    name: str, check: Callable[[], object], told: str, *, needed: bool = False
) -> SetupLine:
    try:
        said = check()
    except Exception as error:  # whatever a broken library raises when it is loaded
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return SetupLine(name=name, state="broken", told=f"{reason:.300}", needed=needed)
    if isinstance(said, str):
        return SetupLine(name=name, state="missing", told=said, needed=needed)
    return SetupLine(name=name, state="ok", told=told, needed=needed)


def _run_graph() -> None:
    import numpy as np

    from difficulty.runtime.session import load_session

    one = np.ones(1, np.float32)
    (same,) = load_session(_GRAPH, threads=1, name="test").run(None, {"x": one})
    if not np.array_equal(same, one):
        raise ValueError(f"the graph gave {same} for {one}")


def _find_shipped() -> str | None:
    try:
        from difficulty.training.shipped import find_encoder, find_recipe
    except ImportError:
        return f"they are for training. Run: {install_command('train')}"
    find_encoder(find_recipe("fast").features)
    return None


def _write_cache() -> None:
    DEFAULT_CACHE.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=DEFAULT_CACHE):
        pass


def _lock_file() -> str | None:
    if os.name == "posix":
        return None
    return "this system has none: publish, promote and rollback need Linux, macOS or WSL"
