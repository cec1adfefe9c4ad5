"""``seen.bin``: its bytes, what it says of strangers, and what is refused."""

import hashlib
import json
import struct
import subprocess
import sys

import pytest

from difficulty.bundle import read_bundle, write_bundle
from difficulty.bundle.seen import MAGIC, SeenFilter, read_seen, salt_of, seen_bytes
from difficulty.errors import BundleError
from difficulty.traffic.duplicates import bare_key, comparable_text
from tests.versions import fields_of

SALT = bytes(range(16))


def key(text):
    """Return the key of one user message."""
    return bare_key(comparable_text([("user", text)]))


def filter_of(n, *, part="training", start=0):
    """Return a filter of some numbered requests."""
    return SeenFilter.of(
        [key(f"request {number}") for number in range(start, start + n)], part=part, salt=SALT
    )


def by_the_specification(keys):
    """Return the filter of keys as ``docs/bundle.md`` says it, in plain Python."""
    bits = max(512, (len(keys) * 48 + 39) // 40 * 8)
    content = bytearray(bits // 8)
    for each in keys:
        digest = hashlib.sha256(SALT + each).digest()
        first, step = (int.from_bytes(digest[at : at + 8], "little") for at in (0, 8))
        for probe in range(7):
            place = (first + probe * (step | 1)) % 2**64 % bits
            content[place // 8] |= 1 << place % 8
    head = struct.pack("<II16sQQ", 0, 7, SALT, len(keys), bits)
    return b"dfseen\x00\x01" + struct.pack("<I", 1) + head + bytes(content)


def test_bytes_are_those_of_the_specification():
    keys = [key(f"request {number}") for number in range(1_000)]
    content = seen_bytes([SeenFilter.of(keys, part="training", salt=SALT)])
    assert content == by_the_specification(keys)
    assert hashlib.sha256(content).hexdigest() == (
        "b86d6e585c5348bc43a3b6d4a81ed93b7e93ecb6aafa82c3dab9ef5604f95107"
    )


def test_order_and_repeats_do_not_move_the_bytes():
    keys = [key(f"request {number}") for number in range(100)]
    one, other = (
        SeenFilter.of(each, part="training", salt=SALT) for each in (keys, [*keys[::-1], *keys])
    )
    assert one.as_bytes == other.as_bytes
    assert other.n == 100


def test_key_is_letters_numbers_and_symbols_in_one_case():
    """Worked by hand: the SHA-256 of what is left, cut to 16 bytes."""
    assert key("Is 2+2 = 4?") == hashlib.sha256(b"is2+2=4").digest()[:16]
    assert key("  is 2 + 2 (=4)") == key("IS 2+2=4!")
    assert key("is 2+2 = 5?") != key("is 2+2 = 4?")
    assert key("\uff29\uff53 2+2 = 4?") == key("is 2+2 = 4?")  # full width
    assert key("?!") == hashlib.sha256(b"?!").digest()[:16]
    assert key("?!") != key("!!")


@pytest.mark.parametrize("n", [100, 1_000, 20_000])
def test_all_that_were_put_in_are_named_and_one_stranger_in_a_hundred(n):
    """1.2 bytes a text."""
    one = filter_of(n)
    assert one.holds([key(f"request {number}") for number in range(n)]).all()
    strangers = one.holds([key(f"stranger {number}") for number in range(20_000)]).mean()
    assert strangers <= 0.0125
    assert strangers == pytest.approx(one.chance, abs=0.003)
    assert len(one.content) == pytest.approx(1.2 * n, abs=1)


def test_nothing_is_named_where_nothing_was_put_in():
    empty = filter_of(0)
    assert (empty.n, empty.chance) == (0, 0.0)
    assert not empty.holds([key("hello")]).any()
    assert empty.holds([]).tolist() == []


def test_another_salt_names_other_strangers():
    """So strangers that two bundles name are not the same."""
    keys = [key(f"request {number}") for number in range(5_000)]
    strangers = [key(f"stranger {number}") for number in range(20_000)]
    one, other = (
        SeenFilter.of(keys, part="training", salt=salt_of(data)).holds(strangers)
        for data in ("a", "b")
    )
    assert (one & other).mean() < 0.001


def test_filters_are_read_as_they_were_written():
    parts = [filter_of(50, part="threshold", start=100), filter_of(200)]
    training, threshold = read_seen(seen_bytes(parts))
    assert (training.part, training.n, threshold.part, threshold.n) == (
        "training",
        200,
        "threshold",
        50,
    )
    assert seen_bytes([training, threshold]) == seen_bytes(parts)


GOOD = seen_bytes([filter_of(40)])
HEAD = len(MAGIC) + 4


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"dfseen\x00\x02" + GOOD[8:],
        GOOD[:-1],
        GOOD + b"\x00",
        GOOD[:HEAD],
        GOOD[:8] + struct.pack("<I", 2) + GOOD[HEAD:],
        GOOD[:8] + struct.pack("<I", 2**32 - 1) + GOOD[HEAD:] + GOOD[HEAD:] * 9,
        GOOD[:8] + struct.pack("<I", 2) + GOOD[HEAD:] + GOOD[HEAD:],
        GOOD[:HEAD] + struct.pack("<I", 2) + GOOD[HEAD + 4 :],
        GOOD[: HEAD + 4] + struct.pack("<I", 2**31) + GOOD[HEAD + 8 :],
        GOOD[: HEAD + 32] + struct.pack("<Q", 2**64 - 8) + GOOD[HEAD + 40 :],
        GOOD[: HEAD + 32] + struct.pack("<Q", 0) + GOOD[HEAD + 40 :],
    ],
)
def test_damaged_content_is_refused(content, bundle, tmp_path):
    """Alone, and in a bundle whose hashes fit."""
    with pytest.raises(BundleError, match=r"seen\.bin"):
        read_seen(content)
    old = read_bundle(bundle)
    with pytest.raises(BundleError, match=r"seen\.bin"):
        write_bundle(
            tmp_path / "words-7",
            {**old.files, "seen.bin": content},
            fields_of(old, name="words", version="7"),
        )
    assert not (tmp_path / "words-7").exists()


def test_bundle_with_the_file_is_sealed_like_any_other(bundle, tmp_path):
    old = read_bundle(bundle)
    assert old.seen is None
    new = write_bundle(
        tmp_path / "words-7",
        {**old.files, "seen.bin": GOOD},
        fields_of(old, name="words", version="7"),
    )
    assert new.seen[0].n == 40
    manifest = json.loads((new.path / "manifest.json").read_text())
    assert manifest["files"]["seen.bin"]["sha256"] == hashlib.sha256(GOOD).hexdigest()
    changed = bytearray(GOOD)
    changed[-1] ^= 1
    (new.path / "seen.bin").write_bytes(changed)
    with pytest.raises(BundleError, match=r"seen\.bin was changed"):
        read_bundle(new.path)


def test_reading_needs_nothing_of_the_lab():
    code = (
        "import sys; from difficulty.bundle.seen import read_seen;"
        " print([name for name in ('sklearn', 'pyarrow', 'scipy', 'torch', 'onnx')"
        " if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 3 + 4?", "What is 3 - 4?"),
        ("is a < b", "is a > b"),
        ("x = -5", "x = 5"),
        ("3 / 4", "34"),
        ("write C++", "write C"),
        ("\u0915\u0940", "\u0915\u093e"),
        ("\U0001f44d", "\U0001f44e"),
    ],
)
def test_texts_that_ask_for_something_else_have_other_keys(one, other):
    assert key(one) != key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Write, please: a letter!", "write please a letter"),
        ("a well-known `name`", "A wellknown name"),
        ("(1) first - then (2)", "1 first then 2"),
    ],
)
def test_copies_in_other_punctuation_have_the_same_key(one, other):
    assert key(one) == key(other)
