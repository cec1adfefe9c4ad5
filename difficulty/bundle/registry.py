"""Registries: where shipped bundles are published under a name, and which of them is the champion.

A registry keeps numbered versions of a name. Two aliases point at them: ``challenger``, the newest
that was published, and ``champion``, the one that routers follow. Promoting moves the champion to
another version and rolling back moves it to the one before, always the whole bundle: scorer,
calibration and thresholds. Another store is a class with these methods and one line in
``REGISTRIES``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from difficulty.bundle.store import Bundle
from difficulty.errors import RegistryError
from difficulty.plugins import resolve

CHALLENGER, CHAMPION = "challenger", "champion"

REGISTRIES = {
    "file": "difficulty.bundle.folder_registry:FolderRegistry",
    **dict.fromkeys(
        ("http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks"),
        "difficulty.integrations.mlflow_registry:MlflowRegistry",
    ),
    **dict.fromkeys(
        ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "hf", "memory"),
        "difficulty.bundle.url_registry:UrlRegistry",
    ),
}
"""Scheme of a registry's address to its class; an address without a scheme is a folder's path."""

# It stands in paths, in addresses and in MLflow's queries.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A published bundle."""

    name: str
    number: int
    bundle: str
    """``<name>-<version>`` of the bundle, as decisions carry it."""
    digest: str
    """Hash of the whole folder, see :attr:`difficulty.bundle.Bundle.digest`."""
    published: datetime
    tags: Mapping[str, str] = field(default_factory=dict)
    """Lineage: data hash, recipe, training run, figures."""

    def __str__(self) -> str:
        return f"version {self.number} ({self.bundle})"


class Registry(Protocol):
    """Keeps the versions of named bundles."""

    def publish(
        self, bundle: Bundle, name: str, *, tags: Mapping[str, str], metrics: Mapping[str, float]
    ) -> Version:
        """Keep a bundle and make it the challenger; one that is kept already is not kept twice."""

    def find(self, name: str, reference: str) -> Version:
        """Return the version that an alias or a number names.

        Raises
        ------
        RegistryError
            If there is none.
        """

    def aliases(self, name: str) -> dict[str, Version]:
        """Return the aliases of a name that exist."""

    def versions(self, name: str) -> list[Version]:
        """Return every version of a name, in the order of their numbers."""

    def fetch(self, version: Version, out: Path) -> Path:
        """Write a version's bundle into a new folder, byte for byte, and return it."""

    def promote(
        self, version: Version, *, replacing: Version | None, notes: Mapping[str, str]
    ) -> None:
        """Make a version the champion, if ``replacing`` still is.

        Raises
        ------
        PromotedMeanwhileError
            If another version is the champion by now.
        """

    def previous(self, name: str) -> Version | None:
        """Return the champion before the present one."""

    def roll_back(self, name: str) -> tuple[Version, Version]:
        """Make the champion before the present one the champion again; return the one that was left
        and the one that is back.

        Raises
        ------
        RegistryError
            If there is none.
        """


def open_registry(address: str) -> Registry:
    """Return the registry at an address: a folder's path or ``file://`` address, or that of an
    MLflow server or store, or the URL of a copy of a folder.

    Raises
    ------
    RegistryError
        If an MLflow server does not answer.
    UnknownNameError
        If the address has a scheme that no registry knows.
    """
    parts = urlsplit(address)
    # Without the driver, as in postgresql+psycopg2://...
    scheme, place = parts.scheme.partition("+")[0], address
    if len(scheme) <= 1:  # none, or the drive of a path
        scheme = "file"
    elif scheme == "file":
        place = unquote(parts.path)
    return resolve(scheme, REGISTRIES, kind="registry")(place)  # type: ignore[no-any-return]


def follow_alias(
    registry: Registry, name: str, cache: str | Path, *, alias: str = CHAMPION
) -> Callable[[], Path]:
    """Return what finds the bundle of an alias, for :class:`difficulty.runtime.ReloadingRouter`.

    Fetched bundles stay in the folder ``cache``, each under its own name; with the registry out of
    reach, routers go on with what is loaded.
    """

    def locate() -> Path:
        version = registry.find(name, alias)
        # The hash is part of the name: a registry made anew begins to count at 1 again.
        folder = Path(cache) / f"{name}-{version.number}-{version.digest[:12]}"
        # What was fetched once is kept: its name holds the hash.
        return folder if folder.is_dir() else registry.fetch(version, folder)

    return locate


def check_name(kind: str, name: str) -> str:
    """Return a name or alias that may stand in paths and addresses.

    Raises
    ------
    RegistryError
        If it may not.
    """
    if not _NAME.fullmatch(name):
        raise RegistryError(
            f"{kind} must be at most 128 letters, digits, '.', '_' and '-', and begin with a letter"
            f" or digit: got {name!r}. Rename it."
        )
    return name


def checked(bundle: Bundle, version: Version) -> Bundle:
    """Return a bundle that is the one that was published.

    Raises
    ------
    RegistryError
        If it is another.
    """
    if bundle.digest != version.digest:
        raise RegistryError(
            f"{version} of {version.name!r} is not what was published: its hash is another. Publish"
            " the bundle again."
        )
    return bundle


def tags_of(bundle: Bundle) -> dict[str, str]:
    """Return what a registry remembers of a bundle beside its files."""
    manifest, chosen = bundle.manifest, bundle.policy.chosen
    return {
        "bundle": bundle.label,
        "bundle_sha256": bundle.digest,
        "created": manifest.created.isoformat(),
        "target": manifest.target,
        "recipe": str(manifest.recipe.get("name", "")),
        "training_data": manifest.training_data,
        "calibration_data": chosen.calibration_data,
        "objective": chosen.objective,
        "threshold": f"{bundle.policy.threshold:.6g}",
        "difficulty": manifest.libraries.get("difficulty", ""),
        "signed": str(bundle.signature is not None).lower(),
    }


def figure_tags(metrics: Mapping[str, float]) -> dict[str, str]:
    """Return a bundle's test figures as tags of its version."""
    return {f"metric.{name}": f"{value:.6g}" for name, value in metrics.items()}


def no_version(name: str, reference: str, listed: Iterable[object]) -> RegistryError:
    """Return the error that a name has no such version or alias; ``listed`` are those it has."""
    names = ", ".join(map(str, listed)) or "none"
    return RegistryError(f"{name!r} has no version or alias {reference!r}. Known: {names}.")


def no_champion_before(name: str) -> RegistryError:
    """Return the error that there is nothing to roll back to."""
    return RegistryError(
        f"{name!r} has no champion before the present one. Promote a version instead."
    )
