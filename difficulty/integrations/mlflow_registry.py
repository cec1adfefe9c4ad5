"""MLflow as the registry of bundles: a registered model whose versions are bundles, with MLflow's
own aliases.

A version's files are the artifacts of an MLflow run, in the folder ``bundle``; that run holds the
lineage and the test figures. The alias ``champion`` is the one truth about which bundle routers
follow, and moving it is one request. Before it moves, the tag ``champions`` of the model is given
the line of champions with the new one at its end; what stands there after the present champion was
never reached and does not count. So a process that is killed in between has promoted nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

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
from difficulty.errors import MissingExtraError, PromotedMeanwhileError, RegistryError

try:
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient
except ImportError as error:  # pragma: no cover - installed without the extra
    raise MissingExtraError("an MLflow registry", package="mlflow", extra="track") from error

from difficulty.integrations.mlflow import find_experiment, recorded_run
from difficulty.integrations.mlflow_address import (
    find_silence,
    hide_password,
    little_patience,
    tell_refusal,
)

_FOLDER = "bundle"
_EXPERIMENT = "difficulty-bundles"
_LINE = "champions"
_LONGEST_LINE = 100
# A promotion takes a second; a lock that is older is a dead process's.
_STALE_S = 20.0


class MlflowRegistry:
    """Bundles in an MLflow server or store; see :class:`difficulty.bundle.registry.Registry`.

    Parameters
    ----------
    uri : str
        Address of a server, or of a store such as ``sqlite:///mlflow.db``.

    Raises
    ------
    RegistryError
        If nothing answers there, now or at any later question.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        if silence := find_silence(uri):
            raise RegistryError(f"{silence}. Start it, or check --registry.")
        with self._ask():
            self.client = MlflowClient(tracking_uri=uri, registry_uri=uri)

    def publish(
        self, bundle: Bundle, name: str, *, tags: Mapping[str, str], metrics: Mapping[str, float]
    ) -> Version:
        """Keep a bundle and make it the challenger; one that is kept already is not kept twice."""
        check_name("name", name)
        with self._ask():
            self._ensure(name)
            same = (each for each in self._read_versions(name) if each.digest == bundle.digest)
            version = next(same, None) or self._add(bundle, name, tags=tags, metrics=metrics)
            self.client.set_registered_model_alias(name, CHALLENGER, str(version.number))
        return version

    def find(self, name: str, reference: str) -> Version:
        """Return the version that an alias or a number names."""
        with self._ask():
            aliases = self._read_aliases(name)
            versions = {str(version.number): version for version in self._read_versions(name)}
        number = aliases.get(reference, reference)
        if number in versions:
            return versions[number]
        raise no_version(name, reference, [*sorted(aliases), *versions])

    def aliases(self, name: str) -> dict[str, Version]:
        """Return the aliases of a name that exist."""
        with self._ask():
            numbered = {str(version.number): version for version in self._read_versions(name)}
            return {
                alias: numbered[number]
                for alias, number in self._read_aliases(name).items()
                if number in numbered
            }

    def versions(self, name: str) -> list[Version]:
        """Return every version of a name, in the order of their numbers."""
        with self._ask():
            self._find_model(name)
            return self._read_versions(name)

    def fetch(self, version: Version, out: Path) -> Path:
        """Write a version's bundle into a new folder, byte for byte."""
        with TemporaryDirectory() as scratch:
            with self._ask():
                item = self.client.get_model_version(version.name, str(version.number))
                folder = self.client.download_artifacts(str(item.run_id), _FOLDER, scratch)
            copy_bundle(checked(read_bundle(Path(folder)), version), out)
        return out

    def promote(
        self, version: Version, *, replacing: Version | None, notes: Mapping[str, str]
    ) -> None:
        """Make a version the champion, if ``replacing`` still is."""
        name, number = version.name, str(version.number)
        expected = replacing.number if replacing else None
        with self._ask(), self._hold_lock(name):
            champion = self._read_aliases(name).get(CHAMPION)
            present = int(champion) if champion else None
            if present != expected:
                raise PromotedMeanwhileError(name, expected=expected, found=present)
            for key, value in notes.items():
                self.client.set_model_version_tag(name, number, f"promotion.{key}", value)
            # The line first: killed before the alias moves, a process has promoted nothing.
            line = [*self._read_champions(name), number][-_LONGEST_LINE:]
            self.client.set_registered_model_tag(name, _LINE, ",".join(line))
            self.client.set_registered_model_alias(name, CHAMPION, number)

    def previous(self, name: str) -> Version | None:
        """Return the champion before the present one."""
        with self._ask():
            line = self._read_champions(name)
        return self.find(name, line[-2]) if len(line) > 1 else None

    def roll_back(self, name: str) -> tuple[Version, Version]:
        """Make the champion before the present one the champion again."""
        with self._ask():
            self._find_model(name)
            with self._hold_lock(name):
                line = self._read_champions(name)
                if len(line) < 2:
                    raise no_champion_before(name)
                left, before = self.find(name, line[-1]), self.find(name, line[-2])
                # The alias first: what stands in the line behind the champion does not count.
                self.client.set_registered_model_alias(name, CHAMPION, str(before.number))
                self.client.set_registered_model_tag(name, _LINE, ",".join(line[:-1]))
        return left, before

    def _ensure(self, name: str) -> None:
        try:
            self.client.create_registered_model(
                name, description="Bundles of difficulty; the alias champion is the one in use."
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _add(
        self, bundle: Bundle, name: str, *, tags: Mapping[str, str], metrics: Mapping[str, float]
    ) -> Version:
        """Upload a bundle and register it; until the last step there is no version."""
        client = self.client
        experiment = find_experiment(client, _EXPERIMENT)
        with (
            recorded_run(client, experiment, name=bundle.label, tags=tags) as run,
            TemporaryDirectory() as scratch,
        ):
            for key, value in metrics.items():
                client.log_metric(run, key, value)
            copy_bundle(bundle, Path(scratch) / _FOLDER)
            client.log_artifacts(run, str(Path(scratch) / _FOLDER), _FOLDER)
        source = f"{client.get_run(run).info.artifact_uri}/{_FOLDER}"
        tags = {**tags, **figure_tags(metrics)}
        # Without waiting: that polls for minutes, and a version of ours is ready at once.
        return _read_version(
            client.create_model_version(name, source, run_id=run, tags=tags, await_creation_for=0)
        )

    def _read_versions(self, name: str) -> list[Version]:
        """Return the versions of a name that are bundles, in order."""
        query, versions, token = f"name = '{check_name('name', name)}'", [], None
        while True:
            page = self.client.search_model_versions(query, page_token=token)
            versions += [_read_version(item) for item in page if "bundle_sha256" in item.tags]
            token = page.token
            if not token:
                return sorted(versions, key=lambda version: version.number)

    def _find_model(self, name: str) -> Any:
        try:
            return self.client.get_registered_model(check_name("name", name))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise RegistryError(
                f"no bundle {name!r} in the MLflow registry at {hide_password(self.uri)}. Publish"
                " one first."
            ) from error

    def _read_aliases(self, name: str) -> dict[str, str]:
        return {alias: str(number) for alias, number in self._find_model(name).aliases.items()}

    def _read_champions(self, name: str) -> list[str]:
        """Return the champions so far, the present one last."""
        model = self._find_model(name)
        champion = model.aliases.get(CHAMPION)
        line = [number for number in model.tags.get(_LINE, "").split(",") if number]
        if champion is None:
            return []
        champion = str(champion)
        if champion not in line:  # someone moved the alias by hand
            return [*line, champion]
        # Its last place: a version may have been the champion before.
        return line[: len(line) - line[::-1].index(champion)]

    @contextmanager
    def _hold_lock(self, name: str) -> Iterator[None]:
        """Hold off other promotions; the lock is a model, as MLflow makes only one of a name."""
        lock = f"{name}.promotion-lock"
        end, last_holder = time.monotonic() + _STALE_S, None
        while not self._take(lock):
            holder = self._taken_at(lock)
            if holder != last_holder:  # by our clock alone: the server's may be another
                end, last_holder = time.monotonic() + _STALE_S, holder
            elif time.monotonic() > end:  # its holder was killed
                self._remove(lock)
            time.sleep(0.1)
        try:
            yield
        finally:
            self._remove(lock)

    def _take(self, lock: str) -> bool:
        try:
            self.client.create_registered_model(
                lock, description="Held while a champion changes; gone after that."
            )
        except MlflowException as error:
            if error.error_code == "RESOURCE_ALREADY_EXISTS":
                return False
            raise
        return True

    def _taken_at(self, lock: str) -> int | None:
        try:
            return int(self.client.get_registered_model(lock).creation_timestamp)
        except MlflowException:
            return None

    def _remove(self, lock: str) -> None:
        try:
            self.client.delete_registered_model(lock)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise

    @contextmanager
    def _ask(self) -> Iterator[None]:
        """Ask with little patience, and say what MLflow says in our words."""
        try:
            with little_patience():
                yield
        except MlflowException as error:
            raise RegistryError(
                f"the MLflow registry at {hide_password(self.uri)} refused or did not answer:"
                f" {tell_refusal(error)}. Check the server."
            ) from error


def _read_version(item: Any) -> Version:
    return Version(
        name=item.name,
        number=int(item.version),
        bundle=item.tags.get("bundle", ""),
        digest=item.tags.get("bundle_sha256", ""),
        published=datetime.fromtimestamp(item.creation_timestamp / 1000, UTC),
        tags=dict(item.tags),
    )
