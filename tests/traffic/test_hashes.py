import numpy as np

from difficulty.traffic.hashes import HashTable, hash_of

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
