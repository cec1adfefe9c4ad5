"""A router that follows a bundle, on real bundles that differ in their threshold."""

import logging
import os
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from difficulty.bundle import Trust
from difficulty.errors import BundleError, BundleNotFoundError, InvalidValueError
from difficulty.runtime import ReloadingRouter, follow_path
from tests.versions import DAMAGES, TEXT, damage, make_version, point


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    """Two sound bundles: 1 keeps ``TEXT`` cheap, 2 sends it to the frontier model."""
    folder = tmp_path_factory.mktemp("versions")
    return {
        number: make_version(folder, number, threshold=threshold)
        for number, threshold in ((1, 0.9), (2, 0.1))
    }


@pytest.fixture
def current(tmp_path, versions):
    """A link to version 1, as deployments have one."""
    point(tmp_path / "current", versions[1])
    return tmp_path / "current"


def test_new_target_of_a_link_decides_after_a_look(current, versions):
    router = ReloadingRouter(follow_path(current))
    assert (router.decide(TEXT).route, router.version, router.look()) == ("cheap", "words-1", False)
    point(current, versions[2])
    assert (router.version, router.look(), router.version) == ("words-1", True, "words-2")
    decision = router.decide(TEXT)
    assert (decision.route, decision.bundle_version, router.policy.threshold, router.switches) == (
        "frontier",
        "words-2",
        0.1,
        1,
    )


@pytest.mark.parametrize(
    "content", ["{absolute}\n", "../versions/words\n", "  ../versions/words  "]
)
def test_pointer_file_names_the_bundle(tmp_path, versions, content):
    """An absolute path, or one from the file's own folder."""
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "words").symlink_to(versions[1])
    (tmp_path / "deploy").mkdir()
    pointer = tmp_path / "deploy" / "current"
    pointer.write_text(content.format(absolute=versions[1]))
    router = ReloadingRouter(follow_path(pointer))
    assert router.version == "words-1"
    pointer.write_text(f"{versions[2]}\n")
    assert (router.look(), router.version) == (True, "words-2")


@pytest.mark.parametrize("content", ["", "\n", "a\nb\n", "x" * 5000, "no-such-folder"])
def test_pointer_file_that_names_no_bundle_is_refused(tmp_path, content):
    (tmp_path / "current").write_text(content)
    with pytest.raises(
        BundleError, match=r"must be a bundle folder, or hold one line|no bundle at"
    ):
        ReloadingRouter(follow_path(tmp_path / "current"))


def test_folder_that_is_replaced_is_taken_up(tmp_path, versions):
    followed = shutil.copytree(versions[1], tmp_path / "served")
    router = ReloadingRouter(follow_path(followed))
    followed.rename(tmp_path / "before")
    assert (router.look(), router.last_error) == (
        False,
        f"no bundle at '{followed}': expected a folder written by 'difficulty ship'.",
    )
    shutil.copytree(versions[2], followed)
    assert (router.look(), router.version, router.last_error) == (True, "words-2", None)


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        ("byte", "scorer.onnx was changed"),
        ("missing", "policy.json is missing"),
        ("golden", "must reproduce its golden vectors"),
    ],
)
def test_bundle_that_fails_a_check_never_decides(
    current, versions, tmp_path, caplog, how, complaint
):
    """Said once, however often it is looked at; back on the old bundle all is well again."""
    router = ReloadingRouter(follow_path(current))
    point(current, damage(tmp_path, versions[2], how))
    with caplog.at_level(logging.WARNING, logger="difficulty.runtime"):
        assert [router.look() for _ in range(3)] == [False] * 3
    assert complaint in router.last_error
    assert (router.refused, router.switches, router.decide(TEXT).bundle_version) == (
        1,
        0,
        "words-1",
    )
    assert [record.message for record in caplog.records] == [
        f"bundle words-1 goes on deciding, the new one was refused: {router.last_error}"
    ]
    point(current, versions[1])
    assert (router.look(), router.last_error, router.refused) == (False, None, 1)


def test_first_bundle_must_pass_every_check(tmp_path, versions):
    with pytest.raises(BundleError, match="must reproduce its golden vectors"):
        ReloadingRouter(follow_path(damage(tmp_path, versions[2], "golden")))
    with pytest.raises(BundleNotFoundError, match="no bundle at"):
        ReloadingRouter(follow_path(tmp_path / "none"))


def test_interval_must_be_above_zero(current):
    with pytest.raises(
        InvalidValueError, match="interval_s must be a number of seconds above 0: got 0"
    ):
        ReloadingRouter(follow_path(current), interval_s=0)


def test_bundle_without_the_required_signature_is_refused(current, versions, tmp_path):
    pytest.importorskip("model_signing")
    from difficulty.bundle.signature import SigningKey, sign_bundle
    from tests.keys import write_pair

    release, stranger = write_pair(tmp_path, "release"), write_pair(tmp_path, "stranger")
    signed = {
        number: shutil.copytree(path, tmp_path / f"signed-{number}")
        for number, path in versions.items()
    }
    sign_bundle(signed[1], SigningKey(private_key=release.private))
    sign_bundle(signed[2], SigningKey(private_key=stranger.private))
    point(current, signed[1])
    router = ReloadingRouter(follow_path(current), trust=Trust(public_keys=(release.public,)))
    point(current, versions[2])
    assert (router.look(), "has no file signature" in router.last_error) == (False, True)
    point(current, signed[2])
    assert (router.look(), "none of the trusted keys" in router.last_error) == (False, True)
    sign_bundle(signed[2], SigningKey(private_key=release.private), replace=True)
    assert (router.look(), router.version, router.refused) == (True, "words-2", 2)


def test_whatever_locating_raises_is_survived(current, versions):
    """Also what a caller's own function may raise."""
    answers = iter(
        [
            versions[1],
            RuntimeError("registry is away"),
            RuntimeError("registry is away"),
            versions[2],
        ]
    )

    def locate():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    router = ReloadingRouter(locate)
    assert ([router.look(), router.look()], router.last_error, router.refused) == (
        [False, False],
        "registry is away",
        1,
    )
    assert (router.look(), router.version) == (True, "words-2")


def test_clock_that_is_set_back_does_not_matter(tmp_path, versions):
    """The new files are older than the old ones by their times."""
    followed = shutil.copytree(versions[1], tmp_path / "served")
    router = ReloadingRouter(follow_path(followed))
    new = shutil.copytree(versions[2], tmp_path / "new")
    for path in [*new.iterdir(), new]:
        os.utime(path, (0, 0))
    followed.rename(tmp_path / "before")
    new.rename(followed)
    assert (router.look(), router.version) == (True, "words-2")


def test_touched_bundle_is_not_taken_up_again(tmp_path, versions):
    followed = shutil.copytree(versions[1], tmp_path / "served")
    router = ReloadingRouter(follow_path(followed))
    before = router.current
    os.utime(followed / "card.md", (0, 0))
    assert (router.look(), router.current is before, router.last_error) == (False, True, None)


def test_errors_are_counted_over_all_bundles(current, versions):
    router = ReloadingRouter(follow_path(current))
    assert router.decide("").reason == "scorer_error"
    point(current, versions[2])
    router.look()
    assert (router.decide("").bundle_version, router.scorer_errors) == ("words-2", 2)


def test_thread_follows_until_it_is_stopped(current, versions):
    with ReloadingRouter(follow_path(current), interval_s=0.01) as router:
        assert router.start() is router
        point(current, versions[2])
        assert until(lambda: router.version == "words-2")
    point(current, versions[1])
    time.sleep(0.05)
    assert router.version == "words-2"
    with router:
        assert until(lambda: router.version == "words-1")


def until(holds, *, at_most_s=20.0):
    """Wait until something holds; return whether it came to."""
    end = time.monotonic() + at_most_s
    while not holds() and time.monotonic() < end:
        time.sleep(0.005)
    return holds()


@dataclass
class Client:
    """Threads that send requests and keep which bundle decided, and what was raised."""

    router: ReloadingRouter
    stop: threading.Event = field(default_factory=threading.Event)
    versions: list = field(default_factory=list)
    wrong: list = field(default_factory=list)

    def send(self):
        """Send until told to stop."""
        expected = {"words-1": "cheap", "words-2": "frontier"}
        while not self.stop.is_set():
            try:
                decision = self.router.decide(TEXT)
                if decision.route != expected.get(decision.bundle_version) or decision.error:
                    self.wrong.append(decision)
                self.versions.append(decision.bundle_version)
            except Exception as error:
                self.wrong.append(error)


def switch_under_load(current, versions, folder, *, switches, bad, seconds):
    """Switch a link to and fro while four threads send requests; the switches numbered in ``bad``
    lead to damaged bundles.
    """
    router = ReloadingRouter(follow_path(current), interval_s=0.02)
    client = Client(router)
    senders = [threading.Thread(target=client.send) for _ in range(4)]
    turn, refused = 1, 0
    with router:
        for sender in senders:
            sender.start()
        begun = time.monotonic()
        for number in range(switches):
            if number in bad:
                refused += 1
                point(current, damage(folder, versions[2], DAMAGES[refused % 3]))
                assert until(lambda: router.refused == refused)  # noqa: B023
            else:
                turn = 3 - turn
                point(current, versions[turn])
                assert until(lambda: router.version == f"words-{turn}")  # noqa: B023
            time.sleep(max(0.0, begun + seconds * (number + 1) / switches - time.monotonic()))
        client.stop.set()
        for sender in senders:
            sender.join()
    return router, client


def check_switches(router, client, *, switches, bad):
    assert client.wrong == []
    assert (router.switches, router.refused) == (switches - len(bad), len(bad))
    assert set(client.versions) == {"words-1", "words-2"}
    changes = sum(
        before != after for before, after in zip(client.versions, client.versions[1:], strict=False)
    )
    assert changes >= switches - len(bad)


def test_switches_under_load_lose_no_request(current, versions, tmp_path):
    """Eight switches, two of them to damaged bundles."""
    router, client = switch_under_load(
        current, versions, tmp_path, switches=8, bad={2, 5}, seconds=1.0
    )
    check_switches(router, client, switches=8, bad={2, 5})


@pytest.mark.slow
def test_twenty_switches_in_a_minute_lose_no_request(current, versions, tmp_path):
    """Five of them to damaged bundles."""
    bad = {3, 7, 10, 14, 18}
    router, client = switch_under_load(
        current, versions, tmp_path, switches=20, bad=bad, seconds=60.0
    )
    check_switches(router, client, switches=20, bad=bad)
    assert len(client.versions) > 1000


def test_reading_through_a_link_takes_one_target(current, versions):
    """A link that is replaced between two files of one reading gives no mixture: the target was
    resolved first.
    """
    assert follow_path(current)() == Path(versions[1]).resolve()
