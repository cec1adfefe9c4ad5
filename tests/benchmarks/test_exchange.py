import json
import sys

import numpy as np
import pytest

from benchmarks.lib import peer_environments
from benchmarks.lib.peer_environments import Peer, PeerError
from benchmarks.lib.references import length, nearest_neighbours, task_mean
from benchmarks.lib.stored import digest_of_problem, stored
from benchmarks.peers.exchange import Problem, out_of_fold, score_methods


def problem(**changes):
    """Four requests: one to learn from alone, two in fold 0, one in fold 1."""
    fields = {
        "texts": ["a", "bb", "ccc", "dddd"],
        "embeddings": np.eye(4),
        "cheap": np.array([0.0, 1.0, 0.0, 1.0]),
        "frontier": np.ones(4),
        "fold": np.array([-1, 0, 0, 1]),
        "tasks": ["law", "law", "art", "law"],
    }
    return Problem(**fields | changes)


def test_problem_comes_back_from_its_folder(tmp_path):
    problem().write(tmp_path)
    found = Problem.read(tmp_path)
    assert (found.texts, found.tasks) == (problem().texts, problem().tasks)
    np.testing.assert_array_equal(found.gain, [1.0, 0.0, 1.0, 0.0])
    np.testing.assert_array_equal(found.fold, problem().fold)


def test_no_request_is_scored_by_what_learned_from_it():
    """Each fold is scored by a model of the other folds and of what is learned from alone, which
    has no score.
    """
    seen = []

    def fit(one, rows):
        seen.append(rows.tolist())
        return lambda others: others.astype(float)

    score, train_s, score_s = out_of_fold(problem(), fit)
    assert seen == [[0, 3], [0, 1, 2]]
    np.testing.assert_array_equal(score, [np.nan, 1.0, 2.0, 3.0])
    assert len(train_s) == len(score_s) == 2


def test_task_mean_of_an_unknown_task_is_the_mean_of_all():
    """Fold 0 holds the only ``art``; from the other two, both ``law``, it gets their mean gain of
    one half.
    """
    score, _, _ = out_of_fold(problem(), task_mean)
    np.testing.assert_allclose(score[1:], [0.5, 0.5, 0.5])


def test_nearest_neighbours_average_the_gain_of_the_most_similar():
    one = problem(embeddings=np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]]))
    score = nearest_neighbours(one, np.array([0, 2]), n_neighbours=1)(np.array([1, 3]))
    np.testing.assert_array_equal(score, [1.0, 1.0])
    assert nearest_neighbours(problem(), np.arange(4), n_neighbours=1)(np.array([1])) == [0.0]


def test_methods_are_written_by_name():
    arrays = score_methods(problem(), {"length": length})
    assert sorted(arrays) == ["score__length", "score_s__length", "train_s__length"]
    np.testing.assert_array_equal(arrays["score__length"], [np.nan, 2.0, 3.0, 4.0])


def test_scores_are_kept_until_their_key_changes(tmp_path):
    made = []

    def make(path):
        made.append(path)
        np.savez(path, score=np.array([float(len(made))]))

    values = [stored(tmp_path / "x.npz", key, make)["score"][0] for key in ("one", "one", "two")]
    assert values == [1.0, 1.0, 2.0]


@pytest.mark.parametrize(
    "change",
    [
        {"texts": ["a", "bb", "ccc", "d"]},
        {"fold": np.array([-1, 0, 1, 1])},
        {"frontier": np.zeros(4)},
    ],
)
def test_key_of_a_problem_follows_its_content(change):
    assert digest_of_problem(problem()) == digest_of_problem(problem())
    assert digest_of_problem(problem(**change)) != digest_of_problem(problem())


@pytest.fixture
def peer(tmp_path, monkeypatch):
    """A peer whose environment exists already: this Python."""
    monkeypatch.setattr(peer_environments, "SCRIPTS", tmp_path)
    for name in ("exchange.py", "some.txt"):
        (tmp_path / name).touch()
    made = Peer("some", tmp_path / "environments")
    folder = made.environment / "bin"
    folder.mkdir(parents=True)
    (folder / "python").symlink_to(sys.executable)
    (made.environment / ".ready").touch()
    return made


def test_peer_is_given_the_problem_and_where_to_write(peer, tmp_path):
    peer.script.write_text(
        "import json, sys; open(sys.argv[2], 'w').write(json.dumps(sys.argv[1]))"
    )
    peer.run(tmp_path / "problem", tmp_path / "out.npz")
    assert json.loads((tmp_path / "out.npz").read_text()) == str(tmp_path / "problem")


def test_peer_that_fails_says_why(peer, tmp_path):
    peer.script.write_text("raise SystemExit('no such encoder')")
    with pytest.raises(PeerError, match="failed: no such encoder"):
        peer.run(tmp_path / "problem", tmp_path / "out.npz")


@pytest.mark.long
def test_peer_that_cannot_be_installed_says_why(peer, tmp_path):
    """An unreadable pin, so that no index is asked."""
    peer.pins.write_text("not a requirement\n")
    peer.script.touch()
    with pytest.raises(PeerError, match="cannot be installed: .*not a requirement"):
        peer.run(tmp_path / "problem", tmp_path / "out.npz")


def test_every_peer_has_a_script_and_exact_pins():
    for name in peer_environments.PEERS:
        one = Peer(name, environments=peer_environments.SCRIPTS)
        assert one.script.is_file()
        assert all("==" in line for line in one.pins.read_text(encoding="utf-8").splitlines())
