"""A copy of a folder registry behind a URL: routers fetch from it, nobody writes.

A change of the champion needs a lock, which object stores have none of. So one machine keeps the
registry in a folder and copies that folder out after each change, ``journal.json`` last; what reads
the copy sees the state before the change or after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from difficulty.bundle.folder_registry import FolderRegistry, Journal
from difficulty.bundle.registry import Version, check_name, checked
from difficulty.bundle.store import Bundle, copy_bundle, read_bundle
from difficulty.errors import RegistryError, StorageNotFoundError
from difficulty.storage import local_copy


class UrlRegistry(FolderRegistry):
    """Read the versions of named bundles from a URL such as ``s3://bucket/registry``.

    Parameters
    ----------
    url : str
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        super().__init__(url)

    def fetch(self, version: Version, out: Path) -> Path:
        """Write a version's bundle into a new folder, byte for byte."""
        folder = self.path(version).relative_to(self.folder).as_posix()
        copy_bundle(checked(read_bundle(f"{self.url}/{folder}"), version), out)
        return out

    def publish(
        self, bundle: Bundle, name: str, *, tags: Mapping[str, str], metrics: Mapping[str, float]
    ) -> Version:
        """Refuse: nobody holds a lock there."""
        self._refuse()

    def promote(
        self, version: Version, *, replacing: Version | None, notes: Mapping[str, str]
    ) -> None:
        """Refuse: nobody holds a lock there."""
        self._refuse()

    def roll_back(self, name: str) -> tuple[Version, Version]:
        """Refuse: nobody holds a lock there."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise RegistryError(
            f"registry {self.url!r} can be read alone: a change needs a lock. Change the folder"
            " that it is a copy of, and copy that out; or keep the registry in MLflow."
        )

    def _read(self, name: str) -> Journal:
        journal = f"{self.url}/{check_name('name', name)}/journal.json"
        try:
            with local_copy(journal) as copy:
                place = FolderRegistry(copy.parent)
                (copy.parent / name).mkdir()
                copy.rename(copy.parent / name / copy.name)
                return place._read(name)
        except StorageNotFoundError:
            raise RegistryError(f"no bundle {name!r} in registry {self.url!r}.") from None
