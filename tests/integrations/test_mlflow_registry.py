"""Publish, promote and roll back against a real MLflow server with a SQLite store."""

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from difficulty.bundle import read_bundle
from difficulty.bundle.registry import follow_alias, open_registry, tags_of
from difficulty.errors import PromotedMeanwhileError, RegistryError
from difficulty.runtime import ReloadingRouter
from difficulty.stages import promote as stages
from tests.versions import TEXT, make_version

pytest.importorskip("mlflow")
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server process with one worker; its address."""
    folder = tmp_path_factory.mktemp("server")
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "artifacts"),
    ]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    quick = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }  # jobs import what takes a minute
    environment = {**os.environ, **quick, "PATH": path}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, cwd=folder, start_new_session=True
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, 15)
        process.wait(timeout=30)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(address, process, log, *, at_most_s=120.0):
    end = time.monotonic() + at_most_s
    while time.monotonic() < end and process.poll() is None:
        try:
            return urlopen(address, timeout=2).close()
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    return {
        number: read_bundle(make_version(folder, number, threshold=number / 4))
        for number in (1, 2, 3)
    }


@pytest.fixture(scope="module")
def registry(server):
    return open_registry(server)


def publish(registry, bundle, name):
    return registry.publish(
        bundle, name, tags=tags_of(bundle) | {"training_run": "abc"}, metrics={"apgr": 0.7}
    )


def numbers(registry, name):
    return {alias: version.number for alias, version in registry.aliases(name).items()}


def test_bundle_is_published_with_its_lineage_and_comes_back_byte_for_byte(
    registry, bundles, tmp_path, capfd
):
    version = publish(registry, bundles[1], "words")
    assert capfd.readouterr().out == ""
    assert (version.number, version.bundle, numbers(registry, "words")) == (
        1,
        "words-1",
        {"challenger": 1},
    )
    item = registry.client.get_model_version_by_alias("words", "challenger")
    assert (item.tags["training_data"], item.tags["training_run"]) == (
        bundles[1].manifest.training_data,
        "abc",
    )
    assert registry.client.get_run(item.run_id).data.metrics == {"apgr": 0.7}
    registry.fetch(registry.find("words", "1"), tmp_path / "back-1")
    assert read_bundle(tmp_path / "back-1").contents == bundles[1].contents
    assert publish(registry, bundles[1], "words") == registry.find("words", "challenger")
    assert len(registry.client.search_model_versions("name = 'words'")) == 1


def test_promotion_and_rollback_move_the_alias(registry, bundles):
    """Promoted 1, 2, 3, back to 2, back to 1."""
    versions = {number: publish(registry, bundle, "moves") for number, bundle in bundles.items()}
    for number in (1, 2, 3):
        registry.promote(
            versions[number],
            replacing=registry.aliases("moves").get("champion"),
            notes={"samples": "10"},
        )
    assert registry.versions("moves") == [registry.find("moves", number) for number in "123"]
    assert (registry.previous("moves").number, numbers(registry, "moves")) == (
        2,
        {"challenger": 3, "champion": 3},
    )
    assert registry.client.get_model_version("moves", "3").tags["promotion.samples"] == "10"
    assert [[version.number for version in registry.roll_back("moves")] for _ in range(2)] == [
        [3, 2],
        [2, 1],
    ]
    with pytest.raises(RegistryError, match="'moves' has no champion before the present one"):
        registry.roll_back("moves")
    assert numbers(registry, "moves") == {"challenger": 3, "champion": 1}


def test_router_follows_the_alias(registry, bundles, tmp_path):
    versions = {number: publish(registry, bundle, "followed") for number, bundle in bundles.items()}
    registry.promote(versions[1], replacing=None, notes={})
    router = ReloadingRouter(follow_alias(registry, "followed", tmp_path))
    registry.promote(versions[3], replacing=versions[1], notes={})
    assert (router.look(), router.decide(TEXT).bundle_version) == (True, "words-3")


def test_two_promotions_at_once_have_one_winner(registry, server, bundles):
    """Each from a client of its own; the loser is told."""
    for bundle in bundles.values():
        publish(registry, bundle, "raced")
    registry.promote(registry.find("raced", "1"), replacing=None, notes={})
    champion, outcomes = registry.find("raced", "champion"), []

    def contend(number):
        own = open_registry(server)
        try:
            own.promote(own.find("raced", str(number)), replacing=champion, notes={})
            outcomes.append("promoted")
        except PromotedMeanwhileError:
            outcomes.append("told")

    contenders = [threading.Thread(target=contend, args=(number,)) for number in (2, 3)]
    for contender in contenders:
        contender.start()
    for contender in contenders:
        contender.join()
    assert sorted(outcomes) == ["promoted", "told"]


def test_promotion_that_was_cut_off_is_none(registry, bundles, monkeypatch):
    """Killed after the line of champions was written, before the alias moved; the lock it left is
    taken over.
    """
    monkeypatch.setattr("difficulty.integrations.mlflow_registry._STALE_S", 0.3)
    versions = {number: publish(registry, bundle, "cut") for number, bundle in bundles.items()}
    for number in (1, 2):
        registry.promote(
            versions[number], replacing=registry.aliases("cut").get("champion"), notes={}
        )
    registry.client.set_registered_model_tag("cut", "champions", "1,2,3")
    registry.client.create_registered_model("cut.promotion-lock")
    assert (registry.previous("cut"), numbers(registry, "cut")["champion"]) == (versions[1], 2)
    assert [version.number for version in registry.roll_back("cut")] == [2, 1]
    with pytest.raises(RegistryError, match="no bundle 'cut.promotion-lock'"):
        registry.find("cut.promotion-lock", "champion")


def test_stages_work_on_the_server(registry, bundles, tmp_path):
    """The first champion, a second that needs traffic, and the champion fetched."""
    published = publish(registry, bundles[1], "staged")
    assert stages.promote("staged", registry).promoted
    publish(registry, bundles[2], "staged")
    with pytest.raises(RegistryError, match="promoting needs labelled traffic"):
        stages.promote("staged", registry)
    assert (
        stages.fetch("staged@champion", registry, tmp_path / "got").number == published.number == 1
    )
    assert read_bundle(tmp_path / "got").contents == bundles[1].contents


def test_what_is_not_there_is_said(registry, bundles):
    with pytest.raises(
        RegistryError,
        match=(
            r"no bundle 'none' in the MLflow registry at 'http://127.0.0.1:\d+'. Publish one first"
        ),
    ):
        registry.find("none", "champion")
    with pytest.raises(RegistryError, match="no bundle 'none'"):
        registry.versions("none")
    publish(registry, bundles[1], "unpromoted")
    with pytest.raises(
        RegistryError,
        match=r"'unpromoted' has no version or alias 'champion'. Known: challenger, 1",
    ):
        registry.find("unpromoted", "champion")


def test_server_that_is_not_there_is_told_at_once():
    """Without MLflow's minutes of trying, and without the password in the address."""
    with pytest.raises(
        RegistryError, match=r"no MLflow server answers at 'http://127.0.0.1:\d+' \(.*refused"
    ):
        open_registry(f"http://user:secret@127.0.0.1:{free_port()}")


def test_patience_is_set_only_while_asking(registry, bundles, monkeypatch):
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    publish(registry, bundles[1], "patient")
    assert registry.aliases("patient")["challenger"].number == 1
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ
