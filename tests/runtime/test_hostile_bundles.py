"""A follower before bundles that hold it up, eat its memory or bring libraries down."""

import shutil
import time

import pytest

from difficulty.bundle import read_bundle
from difficulty.errors import BundleError
from difficulty.runtime import ReloadingRouter, follow_path
from difficulty.runtime.probe import Limits, try_out
from tests.hostile import endless, hungry, with_graph, with_splitting_tokenizer
from tests.versions import TEXT, make_version, point


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    """Two sound bundles: 1 keeps ``TEXT`` cheap, 2 sends it to the frontier model."""
    folder = tmp_path_factory.mktemp("versions")
    return {
        number: make_version(folder, number, threshold=threshold)
        for number, threshold in ((1, 0.9), (2, 0.1))
    }


@pytest.mark.parametrize("how", ["endless", "hungry", "splitting"])
def test_hostile_bundle_is_refused_and_the_next_good_one_taken(tmp_path, versions, how):
    bad = (
        with_splitting_tokenizer(tmp_path, versions[2])
        if how == "splitting"
        else with_graph(tmp_path, versions[2], {"endless": endless, "hungry": hungry}[how]())
    )
    point(tmp_path / "current", versions[1])
    limits = Limits(seconds=6.0, memory=3 << 30)
    with ReloadingRouter(
        follow_path(tmp_path / "current"), interval_s=0.1, limits=limits
    ) as router:
        point(tmp_path / "current", bad)
        wait_for(lambda: router.last_error)
        assert (router.version, router.decide(TEXT).route) == ("words-1", "cheap")
        if how == "endless":
            assert "was ended after 6 s" in router.last_error
        point(tmp_path / "current", versions[2])
        wait_for(lambda: router.version == "words-2")
        assert (router.last_error, router.decide(TEXT).route) == (None, "frontier")


def wait_for(condition, *, at_most_s=60.0):
    """Wait until something holds."""
    end = time.monotonic() + at_most_s
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def test_folder_that_changes_between_the_two_readings_is_refused(tmp_path, versions):
    """What was tried out must be what decides."""
    folder = shutil.copytree(versions[1], tmp_path / "served")
    bundle = read_bundle(folder)
    shutil.rmtree(folder)
    shutil.copytree(versions[2], folder)
    with pytest.raises(BundleError, match="found another one there"):
        try_out(bundle, Limits())


def test_memory_that_does_not_suffice_is_said(versions):
    with pytest.raises(BundleError, match=r"words-2 was tried out in another process with .* GiB"):
        try_out(read_bundle(versions[2]), Limits(memory=64 << 20))


def test_sound_bundle_passes(versions):
    try_out(read_bundle(versions[2]), Limits())
