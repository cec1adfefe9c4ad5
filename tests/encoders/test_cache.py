"""The cache of embeddings: what is kept, who finds it, what is refused."""

import json
import os
import sqlite3
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.encoders.transformer import DiskCache, MemoryCache, key_of
from difficulty.errors import EncoderError
from tests.conftest import REPOSITORY
from tests.fakes import load_transformer, random_ids, write_transformer

DIGEST = "ab" * 32


def vectors_of(names, *, dim=4):
    """Return a vector for each number, by key."""
    return {key_of([name]): np.arange(dim, dtype=np.float32) + name for name in names}


def same(found, expected):
    assert {key: vector.tolist() for key, vector in found.items()} == {
        key: vector.tolist() for key, vector in expected.items()
    }


def script(source, *arguments):
    """Start some Python in another process."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(
        [sys.executable, "-c", source, *map(str, arguments)],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
    )


@given(st.lists(st.integers(0, 2**40), max_size=6), st.lists(st.integers(0, 2**40), max_size=6))
def test_key_tells_requests_apart(one, other):
    assert (key_of(one) == key_of(other)) == (one == other)


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_cache_returns_what_it_was_given_and_nothing_else(tmp_path, kind):
    cache = MemoryCache() if kind == "memory" else DiskCache(tmp_path, digest=DIGEST, dim=4)
    assert cache.find(list(vectors_of(range(3)))) == {}
    cache.add(vectors_of(range(1_200)))
    same(cache.find(list(vectors_of([3, 5_000, 7]))), vectors_of([3, 7]))
    same(cache.find(list(vectors_of(range(1_200)))), vectors_of(range(1_200)))
    cache.add(vectors_of([3, 4]))
    cache.add({})
    same(cache.find(list(vectors_of([3]))), vectors_of([3]))


def test_vectors_are_found_by_another_instance_and_for_another_encoder_they_are_not(tmp_path):
    DiskCache(tmp_path, digest=DIGEST, dim=4).add(vectors_of([1]))
    same(DiskCache(tmp_path, digest=DIGEST, dim=4).find(list(vectors_of([1, 2]))), vectors_of([1]))
    assert DiskCache(tmp_path, digest="cd" * 32, dim=4).find(list(vectors_of([1]))) == {}
    assert len(list(tmp_path.glob("embeddings-*.sqlite"))) == 2


def test_file_holds_hashes_and_vectors_and_no_ids(tmp_path):
    cache = DiskCache(tmp_path, digest=DIGEST, dim=4)
    cache.add(vectors_of([7]))
    with sqlite3.connect(cache.path) as store:
        tables = {
            name: store.execute(f"SELECT * FROM {name}").fetchall()
            for (name,) in store.execute("SELECT name FROM sqlite_master")
        }
    store.close()
    assert tables == {
        "about": [(4,)],
        "vectors": [(key_of([7]), np.array([7, 8, 9, 10], dtype="<f4").tobytes())],
    }


def test_vectors_of_another_length_are_refused(tmp_path):
    DiskCache(tmp_path, digest=DIGEST, dim=4)
    with pytest.raises(
        EncoderError,
        match=(
            r"embeddings-abababababababab\.sqlite' holds vectors of 4 numbers, the encoder gives 5"
        ),
    ):
        DiskCache(tmp_path, digest=DIGEST, dim=5)


def test_damaged_file_is_refused(tmp_path):
    cache = DiskCache(tmp_path, digest=DIGEST, dim=4)
    cache.add(vectors_of(range(2_000)))
    cache.path.write_bytes(b"no database" * 1_000)
    for use in (
        lambda: cache.find(list(vectors_of([1]))),
        lambda: DiskCache(tmp_path, digest=DIGEST, dim=4),
    ):
        with pytest.raises(
            EncoderError,
            match=r"embedding cache .* cannot be used .* Remove the file; it is made again",
        ):
            use()


def test_cache_in_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EncoderError, match="embedding cache folder .* cannot be made"):
        DiskCache(tmp_path / "file", digest=DIGEST, dim=4)


def test_two_processes_make_and_fill_the_cache_at_once(tmp_path):
    """Both write half of the vectors in many small steps; nothing is lost."""
    fill = """
import sys, pathlib, numpy as np
from difficulty.encoders.transformer import DiskCache, key_of
cache = DiskCache(pathlib.Path(sys.argv[1]), digest=sys.argv[2], dim=4)
for number in range(int(sys.argv[3]), 100, 2):
    cache.add({key_of([number]): np.arange(4, dtype=np.float32) + number})
"""
    with script(fill, tmp_path, DIGEST, 0) as one, script(fill, tmp_path, DIGEST, 1) as other:
        assert (one.wait(timeout=120), other.wait(timeout=120)) == (0, 0)
    same(
        DiskCache(tmp_path, digest=DIGEST, dim=4).find(list(vectors_of(range(100)))),
        vectors_of(range(100)),
    )


def test_many_make_the_same_cache_at_once(tmp_path):
    """Each has a connection of its own, as processes have."""
    wrong, ready = [], threading.Barrier(4)

    def make(name):
        for number in range(10):
            ready.wait()
            try:
                DiskCache(tmp_path / f"{number}", digest=DIGEST, dim=4).add(vectors_of([name]))
            except EncoderError as error:
                wrong.append(error)

    threads = [threading.Thread(target=make, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    same(
        DiskCache(tmp_path / "9", digest=DIGEST, dim=4).find(list(vectors_of(range(4)))),
        vectors_of(range(4)),
    )


def test_embeddings_survive_a_crash_in_the_middle(tmp_path):
    """A process dies, uncleanly, after the second batch; another one computes the rest alone and
    gets the same vectors.
    """
    crash = """
import json, os, pathlib, sys
from difficulty.encoders.transformer import DiskCache
from difficulty.encoders.base import load_encoder
encoder = load_encoder(pathlib.Path(sys.argv[1]))
def progress(done, total):
    if done > 64:
        print(done, flush=True)
        os._exit(9)
cache = DiskCache(pathlib.Path(sys.argv[2]), digest=encoder.digest, dim=encoder.dim)
encoder.using(cache=cache, progress=progress).encode(json.loads(sys.argv[3]))
"""
    ids = random_ids(np.random.default_rng(0), 200, longest=9)
    with script(
        crash, write_transformer(tmp_path / "encoder"), tmp_path / "cache", json.dumps(ids)
    ) as died:
        done = int(died.communicate(timeout=120)[0])
    assert died.returncode == 9
    encoder, told = load_transformer(tmp_path / "encoder"), []
    cache = DiskCache(tmp_path / "cache", digest=encoder.digest, dim=encoder.dim)
    kept = encoder.using(cache=cache, progress=lambda now, total: told.append((now, total)))
    total = len({tuple(row) for row in ids})
    assert 64 < done < total
    found = kept.encode(ids)
    assert told[0][0] > done
    assert told[-1] == (total, total)
    assert found == pytest.approx(encoder.encode(ids), abs=1e-6)
    told.clear()
    assert kept.encode(ids).tolist() == found.tolist()
    assert told == []
