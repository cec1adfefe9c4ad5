"""The registry in a folder: what it keeps, who may change it when, and what a kill leaves."""

import json
import os
import subprocess
import sys

import pytest

from difficulty.bundle import read_bundle
from difficulty.bundle.folder_registry import FolderRegistry, locked
from difficulty.bundle.registry import follow_alias, open_registry, tags_of
from difficulty.errors import BundleError, PromotedMeanwhileError, RegistryError, UnknownNameError
from difficulty.runtime import ReloadingRouter
from tests.conftest import REPOSITORY
from tests.versions import TEXT, make_version


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """Three bundles that differ in their threshold."""
    folder = tmp_path_factory.mktemp("bundles")
    return {
        number: read_bundle(make_version(folder, number, threshold=number / 4))
        for number in (1, 2, 3)
    }


@pytest.fixture
def registry(tmp_path):
    return FolderRegistry(tmp_path / "registry")


def publish(registry, bundle, name="words"):
    return registry.publish(bundle, name, tags=tags_of(bundle), metrics={"apgr": 0.7})


def promote(registry, version):
    registry.promote(version, replacing=registry.aliases(version.name).get("champion"), notes={})


def numbers(registry, name="words"):
    return {alias: version.number for alias, version in registry.aliases(name).items()}


def test_publishing_numbers_versions_and_names_the_newest_challenger(registry, bundles):
    first, second = publish(registry, bundles[1]), publish(registry, bundles[2])
    assert (first.number, first.bundle, second.number, second.bundle) == (
        1,
        "words-1",
        2,
        "words-2",
    )
    assert numbers(registry) == {"challenger": 2}
    assert registry.find("words", "challenger") == registry.find("words", "2") == second
    assert (second.tags["training_data"], second.tags["metric.apgr"]) == (
        bundles[2].manifest.training_data,
        "0.7",
    )


def test_bundle_comes_back_byte_for_byte(registry, bundles, tmp_path):
    version = publish(registry, bundles[1])
    registry.fetch(version, tmp_path / "deep" / "back-1")
    assert read_bundle(tmp_path / "deep" / "back-1").contents == bundles[1].contents
    with pytest.raises(BundleError, match="exists already"):
        registry.fetch(version, tmp_path / "deep" / "back-1")


def test_publishing_again_keeps_one_version_and_renews_the_challenger(registry, bundles):
    first = publish(registry, bundles[1])
    publish(registry, bundles[2])
    assert publish(registry, bundles[1]) == first
    assert numbers(registry) == {"challenger": 1}
    assert registry.versions("words") == [first, registry.find("words", "2")]
    assert len(list((registry.folder / "words" / "bundles").iterdir())) == 2


def test_rolling_back_walks_the_champions_back(registry, bundles):
    """Promoted 1, 2, 3, back to 2, promoted 1, back to 2, back to 1: version 3 was left for
    good.
    """
    versions = {number: publish(registry, bundle) for number, bundle in bundles.items()}
    for number in (1, 2, 3):
        promote(registry, versions[number])
    assert registry.previous("words") == versions[2]
    assert registry.roll_back("words") == (versions[3], versions[2])
    promote(registry, versions[1])
    assert registry.roll_back("words") == (versions[1], versions[2])
    assert registry.roll_back("words") == (versions[2], versions[1])
    assert (numbers(registry), registry.previous("words")) == (
        {"challenger": 3, "champion": 1},
        None,
    )
    with pytest.raises(RegistryError, match="'words' has no champion before the present one"):
        registry.roll_back("words")


def test_champion_that_changed_meanwhile_is_not_replaced(registry, bundles):
    """Both looked when there was none; the second is told."""
    one, two = publish(registry, bundles[1]), publish(registry, bundles[2])
    registry.promote(one, replacing=None, notes={})
    with pytest.raises(
        PromotedMeanwhileError,
        match="the champion of 'words' is version 1 by now, and was none when this began",
    ):
        registry.promote(two, replacing=None, notes={})
    assert numbers(registry)["champion"] == 1


def test_names_and_aliases_that_are_not_there_are_told_apart(registry, bundles, tmp_path):
    with pytest.raises(RegistryError, match=r"no registry at .*the first 'difficulty publish'"):
        registry.find("words", "champion")
    registry.folder.mkdir()
    with pytest.raises(RegistryError, match=r"no bundle 'words' in registry .*Known: none"):
        registry.find("words", "champion")
    publish(registry, bundles[1])
    with pytest.raises(RegistryError, match=r"no bundle 'word' in registry .*Known: words"):
        registry.find("word", "champion")
    with pytest.raises(
        RegistryError, match=r"'words' has no version or alias 'champion'. Known: challenger, 1"
    ):
        registry.find("words", "champion")
    for ask in (registry.roll_back, registry.versions):
        with pytest.raises(RegistryError, match="no bundle 'none'"):
            ask("none")
    assert not (registry.folder / "none").exists()


@pytest.mark.parametrize("name", ["", "../words", "a/b", ".hidden", "a b", "x" * 129])
def test_name_that_is_no_folder_name_is_refused(registry, bundles, name):
    with pytest.raises(RegistryError, match="name must be at most 128 letters"):
        publish(registry, bundles[1], name)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "is not valid JSON"),
        ('{"format": 2, "name": "words"}', "journal format 2 is newer than this version reads"),
        (
            '{"format": 1, "name": "words", "champion": 1}',
            "champion is not a field .* Known: events, format, name. Restore it from",
        ),
        ("[]", "Restore it from a copy"),
    ],
)
def test_journal_that_is_none_is_refused(registry, bundles, content, complaint):
    publish(registry, bundles[1])
    (registry.folder / "words" / "journal.json").write_text(content)
    with pytest.raises(RegistryError, match=complaint) as caught:
        registry.find("words", "challenger")
    # what can be parsed is not called damaged: a copy of a newer journal would not help
    assert ("not valid JSON" in str(caught.value)) == (content == "{")


def test_kept_bundle_that_was_changed_is_not_given_out(registry, bundles, tmp_path):
    version = publish(registry, bundles[1])
    with (registry.path(version) / "card.md").open("ab") as file:
        file.write(b" ")
    with pytest.raises(BundleError, match="card.md was changed"):
        registry.fetch(version, tmp_path / "back-1")
    assert not (tmp_path / "back-1").exists()


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_address_of_a_folder(tmp_path, bundles, form):
    made = open_registry(form.format(tmp_path / "registry"))
    publish(made, bundles[1])
    assert (tmp_path / "registry" / "words" / "journal.json").is_file()


def test_address_of_no_known_kind_is_refused():
    with pytest.raises(
        UnknownNameError, match=r"unknown registry 'ldap'. Known: abfs.*databricks, file, .*http"
    ):
        open_registry("ldap://bucket/registry")


def test_router_follows_the_champion(registry, bundles, tmp_path):
    versions = {number: publish(registry, bundle) for number, bundle in bundles.items()}
    promote(registry, versions[1])
    router = ReloadingRouter(follow_alias(registry, "words", tmp_path / "kept"))
    promote(registry, versions[3])
    assert (
        router.decide(TEXT).bundle_version,
        router.look(),
        router.decide(TEXT).bundle_version,
    ) == ("words-1", True, "words-3")
    registry.roll_back("words")
    assert (router.look(), router.decide(TEXT).bundle_version) == (True, "words-1")
    assert len(list((tmp_path / "kept").iterdir())) == 2


def test_lock_is_held_by_one_and_told_to_others(tmp_path):
    with (
        locked(tmp_path / "lock"),
        pytest.raises(RegistryError, match=r"another process holds .*lock' for more than 0.1 s"),
        locked(tmp_path / "lock", wait_s=0.1),
    ):
        pass
    with locked(tmp_path / "lock", wait_s=0.1):
        assert (tmp_path / "lock").exists()


def run_helper(*arguments):
    """Run ``tests/registry_processes.py``, which forks without the threads of the test process."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    run = [sys.executable, "-m", "tests.registry_processes", *map(str, arguments)]
    done = subprocess.run(run, capture_output=True, text=True, env=environment, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_kill_at_any_moment_leaves_the_state_before_or_after(registry, bundles, tmp_path):
    """Twenty processes that publish, promote, roll back and write bundles are killed at random
    moments.
    """
    paths = [bundle.path for bundle in bundles.values()]
    found = run_helper("kill", registry.folder, tmp_path / "out", 20, *paths)
    assert found["killed"] == 20
    assert found["torn"] == []
    assert found["events"] > 10  # they were not killed before they began


def test_two_processes_promote_at_once_and_one_wins(registry, bundles):
    """Ten times: one moves the champion, the other is told."""
    for bundle in bundles.values():
        publish(registry, bundle)
    rounds = run_helper("race", registry.folder, 10)
    assert len(rounds) == 10
    assert all(sorted(outcome) == ["PromotedMeanwhileError", "promoted"] for outcome in rounds)
    assert (
        len(json.loads((registry.folder / "words" / "journal.json").read_text())["events"])
        == 3 + 10
    )


def test_bundle_whose_name_begins_with_a_dot_stays(registry, tmp_path):
    """Scratch that a killed process left goes, what the journal names does not."""
    names = (".hidden", ".hidden-too", "words")
    bundles = [read_bundle(make_version(tmp_path, 1, threshold=0.5, name=name)) for name in names]
    home = registry.folder / "words" / "bundles"
    for bundle in bundles[:2]:
        publish(registry, bundle)
    (home / ".words-1-0123456789ab-abcdefgh.part").mkdir()
    publish(registry, bundles[2])
    for version in registry.versions("words"):
        assert read_bundle(registry.path(version)).digest == version.digest
    assert len(list(home.iterdir())) == 3


def test_what_a_link_in_the_registry_leads_to_is_not_removed(registry, bundles, tmp_path):
    """Who writes to a registry's folder deletes nothing of who publishes there."""
    somebody = tmp_path / "somebody"
    (somebody / ".ssh").mkdir(parents=True)
    (registry.folder / "words").mkdir(parents=True)
    (registry.folder / "words" / "bundles").symlink_to(somebody)
    publish(registry, next(iter(bundles.values())))
    assert (somebody / ".ssh").is_dir()
