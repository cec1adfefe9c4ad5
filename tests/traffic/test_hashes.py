import numpy as np

from difficulty.traffic.hashes import NO_HASH, HashTable, Sketches, SketchIndex, hash_of

HASH = 0x7521867A6C90566F


def test_table_does_what_a_dict_does():
    """20,000 hashes, half of them twice, in random order; 0 is a hash too."""
    rng = np.random.default_rng(0)
    keys = [0, *rng.integers(0, 2**64, size=10_000, dtype=np.uint64).tolist()]
    keys += keys[: len(keys) // 2]
    table, expected = HashTable(), {}
    for number, key in enumerate(keys):
        assert table.get(key) == expected.get(key)
        assert table.setdefault(key, number) == expected.setdefault(key, number)
        if number % 7 == 0:
            table[key] = expected[key] = number + 1
    assert len(table) == len(expected)
    assert all(table.get(key) == number for key, number in expected.items())


def test_hash_is_the_same_on_every_machine():
    assert hash_of("What is rust?") == HASH
    assert hash_of("\ud800") == hash_of("?")


def test_sketches_are_found_in_memory_and_on_the_disk(tmp_path, monkeypatch):
    """With 8 of them in memory: what is read again is what was added."""
    monkeypatch.setattr("difficulty.traffic.hashes._IN_MEMORY", 1 << 10)
    rng = np.random.default_rng(1)
    hashes = np.sort(rng.integers(0, 2**32 - 1, size=(3_000, 4), dtype=np.uint32), axis=1)
    sketches = Sketches(4, tmp_path)
    for row in hashes:
        sketches.add(row[:3])
    entries = np.array([0, 1_023, 1_024, 2_999], dtype=np.int32)
    assert (sketches.of(entries)[:, :3] == hashes[entries, :3]).all()
    assert (sketches.of(entries)[:, 3] == NO_HASH).all()
    assert (np.concatenate(list(sketches.blocks()))[:, :3] == hashes[:, :3]).all()
    assert list(tmp_path.iterdir()) == []  # the file has no name


def test_index_finds_what_shares_two_keys_also_after_it_grew():
    """6,000 entries of 16 keys, 50 of which come again with two keys of theirs."""
    rng = np.random.default_rng(2)
    hashes = np.sort(rng.integers(0, 2**32 - 1, size=(6_000, 16), dtype=np.uint32), axis=1)
    sketches = Sketches(16)
    index = SketchIndex(sketches, 16)
    for entry, row in enumerate(hashes):
        sketches.add(row)
        index.add(index.places_of(row), entry)
    found = 0
    for entry in range(0, 6_000, 120):
        asked = np.sort(rng.integers(0, 2**32 - 1, size=16, dtype=np.uint32))
        asked[:2] = hashes[entry, :2]
        found += entry in index.sharing(index.places_of(asked)).tolist()
    assert found >= 48
