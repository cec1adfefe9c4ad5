"""A registry in a folder: no server, safe to kill at any moment.

    REGISTRY/NAME/journal.json                    what happened, in order: the one truth
    REGISTRY/NAME/bundles/<bundle>-<hash>/        the bundles, as they were shipped
    REGISTRY/NAME/lock                            held by who writes

Every change writes the journal anew beside the old one and puts it in its place in one step, after
everything it speaks of is on the disk. So a reader needs no lock, and a process that is killed
leaves the state before its change or after it. What it may also leave, a bundle that no entry names
or a scratch folder, is never seen; scratch goes with the next publication.

``JOURNAL_FORMAT`` is raised when an entry changes its meaning; readers refuse numbers above their
own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from difficulty.bundle.registry import (
    CHALLENGER,
    CHAMPION,
    Version,
    check_name,
    checked,
    figure_tags,
    no_champion_before,
    no_version,
)
from difficulty.bundle.store import Bundle, copy_bundle, read_bundle
from difficulty.errors import (
    FieldError,
    PromotedMeanwhileError,
    RegistryError,
    UnsupportedSystemError,
)
from difficulty.form import Form, at_least, matching, read_json
from difficulty.storage import read_bounded, whole_file

_WAIT_S = 30.0
_PAUSE_S = 0.05
_MOST_JOURNAL = 1 << 26  # bytes
# As whole_folder names it, of a folder that _folder_name names.
_SCRATCH = re.compile(r"\..+-[0-9a-f]{12}-[a-z0-9_]{8}\.part", re.DOTALL)


@contextmanager
def locked(path: Path, *, wait_s: float = _WAIT_S) -> Iterator[None]:
    """Hold a lock file while the block runs.

    A lock whose holder was killed is free at once: it belongs to the open file, not to the file's
    being there. The file stays.

    Raises
    ------
    RegistryError
        If another process holds it for longer than ``wait_s`` seconds.
    UnsupportedSystemError
        If the system has no such locks.
    """
    try:
        import fcntl  # here, for it is POSIX alone and reading needs no lock
    except ImportError as error:
        raise UnsupportedSystemError("changing a registry", module="fcntl") from error

    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        end = time.monotonic() + wait_s
        while True:
            try:
                # Asked again and again: flock by itself waits without an end.
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise RegistryError(
                        f"another process holds {str(path)!r} for more than {wait_s:g} s. Try"
                        " again."
                    ) from None
                time.sleep(_PAUSE_S)
        yield
    finally:
        os.close(handle)


JOURNAL_FORMAT = 1

_Kind: TypeAlias = Literal["published", "promoted", "rolled back"]


# It becomes part of a path.
_DIGEST = matching("([0-9a-f]{64})?", text="be a sha256 as 64 hexadecimal digits, or empty")


@dataclass(frozen=True, kw_only=True)
class Event(Form):
    """One change."""

    at: datetime
    event: _Kind
    version: Annotated[int, at_least(1)]
    """The version that was published, or that is the champion from now on."""
    bundle: str = ""
    digest: Annotated[str, _DIGEST] = ""
    tags: dict[str, str] = field(default_factory=dict)
    """Of a publication: lineage and figures; of a promotion: what it was decided by."""


@dataclass(frozen=True, kw_only=True)
class Journal(Form):
    """All changes of one name, and what follows from them."""

    format: int = JOURNAL_FORMAT
    name: str
    events: tuple[Event, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        line: list[int] = []
        published: set[int] = set()
        for place, event in enumerate(self.events):
            if event.event == "published" and event.digest:
                published.add(event.version)
            elif event.event == "promoted" and event.version in published:
                line.append(event.version)
            elif event.event == "rolled back" and line[-2:-1] == [event.version]:
                line.pop()
            else:
                raise FieldError(
                    f"does not follow from the entries before it: {event.event} {event.version}",
                    where=("events", place),
                )

    @property
    def versions(self) -> dict[int, Version]:
        """Every version by its number."""
        versions: dict[int, Version] = {}
        for event in self.events:
            # What is published again has its first entry's number, time and tags.
            if event.event == "published" and event.version not in versions:
                versions[event.version] = Version(
                    name=self.name,
                    number=event.version,
                    bundle=event.bundle,
                    digest=event.digest,
                    published=event.at,
                    tags=event.tags,
                )
        return versions

    @property
    def champions(self) -> list[int]:
        """Champions so far without those that were rolled back, the present one last."""
        line: list[int] = []
        for event in self.events:
            if event.event == "promoted":
                line.append(event.version)
            elif event.event == "rolled back":
                line.pop()
        return line

    @property
    def aliases(self) -> dict[str, int]:
        """Number of the version that each alias names."""
        published = [event.version for event in self.events if event.event == "published"]
        lines = {CHALLENGER: published, CHAMPION: self.champions}
        return {alias: line[-1] for alias, line in lines.items() if line}


class FolderRegistry:
    """Bundles in a folder; see :class:`difficulty.bundle.registry.Registry`.

    Parameters
    ----------
    folder : str or Path
        Made when the first bundle is published. On a network share, the share must support locks
        (``flock``).
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def publish(
        self, bundle: Bundle, name: str, *, tags: Mapping[str, str], metrics: Mapping[str, float]
    ) -> Version:
        """Keep a bundle and make it the challenger; one that is kept already is not kept twice."""
        home = self.folder / check_name("name", name)
        (home / "bundles").mkdir(parents=True, exist_ok=True)
        with self._lock(name) as journal:
            numbers = {version.digest: number for number, version in journal.versions.items()}
            number = numbers.get(bundle.digest, len(numbers) + 1)
            if bundle.digest not in numbers:
                kept = {self.path(version).name for version in journal.versions.values()}
                _copy_in(bundle, home / "bundles", kept=kept)
            journal = self._write(
                journal,
                "published",
                number,
                bundle=bundle.label,
                digest=bundle.digest,
                tags={**tags, **figure_tags(metrics)},
            )
        return journal.versions[number]

    def find(self, name: str, reference: str) -> Version:
        """Return the version that an alias or a number names."""
        journal = self._read(name)
        versions, aliases = journal.versions, journal.aliases
        # No version has the number 0.
        number = aliases.get(reference) or (int(reference) if reference.isdecimal() else 0)
        if number in versions:
            return versions[number]
        raise no_version(name, reference, [*sorted(aliases), *versions])

    def aliases(self, name: str) -> dict[str, Version]:
        """Return the aliases of a name that exist."""
        journal = self._read(name)
        return {alias: journal.versions[number] for alias, number in journal.aliases.items()}

    def versions(self, name: str) -> list[Version]:
        """Return every version of a name, in the order of their numbers."""
        return [version for _, version in sorted(self._read(name).versions.items())]

    def fetch(self, version: Version, out: Path) -> Path:
        """Write a version's bundle into a new folder, byte for byte."""
        copy_bundle(checked(read_bundle(self.path(version)), version), out)
        return out

    def promote(
        self, version: Version, *, replacing: Version | None, notes: Mapping[str, str]
    ) -> None:
        """Make a version the champion, if ``replacing`` still is."""
        expected = replacing.number if replacing else None
        with self._lock(version.name) as journal:
            champion = journal.aliases.get(CHAMPION)
            if champion != expected:
                raise PromotedMeanwhileError(version.name, expected=expected, found=champion)
            self._write(journal, "promoted", version.number, tags=dict(notes))

    def previous(self, name: str) -> Version | None:
        """Return the champion before the present one."""
        journal = self._read(name)
        return journal.versions[journal.champions[-2]] if len(journal.champions) > 1 else None

    def roll_back(self, name: str) -> tuple[Version, Version]:
        """Make the champion before the present one the champion again."""
        with self._lock(name) as journal:
            if len(journal.champions) < 2:
                raise no_champion_before(name)
            before, left = journal.champions[-2:]
            self._write(journal, "rolled back", before)
        return journal.versions[left], journal.versions[before]

    def path(self, version: Version) -> Path:
        """Return the folder where a version's bundle lies; read it, never change it."""
        return self.folder / version.name / "bundles" / _folder_name(version.bundle, version.digest)

    @contextmanager
    def _lock(self, name: str) -> Iterator[Journal]:
        """Hold the lock of a name, and give its journal as it is then."""
        home = self.folder / check_name("name", name)
        if not home.is_dir():
            raise self._no_bundle(name)
        with locked(home / "lock"):
            yield self._read(name) if (home / "journal.json").exists() else Journal(name=name)

    def _read(self, name: str) -> Journal:
        path = self.folder / check_name("name", name) / "journal.json"
        try:
            content = read_json(read_bounded(path, most=_MOST_JOURNAL))
        except FileNotFoundError:
            raise self._no_bundle(name) from None
        except ValueError as error:
            raise RegistryError(
                f"{str(path)!r} is not valid JSON ({error}). Restore it from a copy."
            ) from error
        journal = _parse(content, path)
        if journal.name != name:
            raise RegistryError(
                f"{str(path)!r} must be the journal of {name!r}: it is that of"
                f" {journal.name!r:.80}. Restore it from a copy."
            )
        return journal

    def _no_bundle(self, name: str) -> RegistryError:
        if not self.folder.is_dir():
            return RegistryError(
                f"no registry at {str(self.folder)!r}. Check the path; the first 'difficulty"
                " publish' makes one."
            )
        names = sorted(path.parent.name for path in self.folder.glob("*/journal.json"))
        return RegistryError(
            f"no bundle {name!r} in registry {str(self.folder)!r}. Known:"
            f" {', '.join(names) or 'none'}."
        )

    def _write(self, journal: Journal, kind: _Kind, version: int, **more: Any) -> Journal:
        """Return the journal with one more change, written; its lock is held."""
        event = Event(at=datetime.now(UTC), event=kind, version=version, **more)
        journal = replace(journal, events=(*journal.events, event))
        with whole_file(self.folder / journal.name / "journal.json", durable=True) as file:
            json.dump(journal.as_dict(), file, indent=1, ensure_ascii=False)
            file.write("\n")
        return journal


def _parse(content: Any, path: Path) -> Journal:
    number = content.get("format") if isinstance(content, dict) else None
    if isinstance(number, int) and number > JOURNAL_FORMAT:
        raise RegistryError(
            f"journal format {number} is newer than this version reads (1 to {JOURNAL_FORMAT})."
            " Upgrade difficulty."
        )
    advice = "Restore it from a copy."
    return Journal.parse_from(repr(str(path)), content, error=RegistryError, advice=advice)


def _folder_name(bundle: str, digest: str) -> str:
    # Two bundles may bear one name; the hash tells them apart.
    return f"{bundle.replace(os.sep, '_')}-{digest[:12]}"


def _copy_in(bundle: Bundle, folder: Path, *, kept: Set[str]) -> None:
    """Write a bundle to where it will stay; the lock is held, and ``kept`` are the folders that the
    journal names.
    """
    # Unfinished, by a process that is gone: it would hold the lock. Only what bears the name of our
    # scratch: the folder may be a link, and what lies where it leads is somebody else's.
    for left in folder.glob(".*"):
        if _SCRATCH.fullmatch(left.name) and left.name not in kept:
            shutil.rmtree(left, ignore_errors=True)
    place = folder / _folder_name(bundle.label, bundle.digest)
    if not place.exists():  # it does where a process was killed before it wrote the journal
        copy_bundle(bundle, place)
