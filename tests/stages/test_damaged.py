"""What anybody may have written is refused in a sentence: bundles, recipes, prices, journals."""

import hashlib
import json
import os
import random
import shutil
import tracemalloc

import pytest

from difficulty.bundle.folder_registry import FolderRegistry
from difficulty.bundle.policy import UNSEALED, seal
from difficulty.economics import load_price_list
from difficulty.errors import BundleError, DifficultyError, RegistryError
from difficulty.recipe import load_recipe
from difficulty.stages.judging import shipped_figures
from difficulty.stages.verify import verify
from tests.bundle.conftest import SAVED
from tests.conftest import REPOSITORY

DEEP = "[" * 100_000 + "]" * 100_000
HUGE = "9" * 5_000


@pytest.fixture
def bundle(tmp_path):
    """A copy of a saved bundle."""
    return shutil.copytree(SAVED, tmp_path / "words-1")


def reseal(folder, change=lambda text: text, **files):
    """Write files and a manifest that fits them, as someone who means to deceive would; ``change``
    changes the manifest's text before it is sealed.
    """
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, content in files.items():
        name = name.replace("__", ".")
        (folder / name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        manifest["files"][name] = {"sha256": digest, "bytes": len(content)}
    text = change(json.dumps(manifest | {"sha256": UNSEALED}))
    (folder / "manifest.json").write_bytes(seal(text.encode("utf-8", "surrogatepass")))
    return folder


def field(name, value):
    """Return what gives a field of a manifest another value, as JSON text."""

    def change(text):
        old = json.dumps(json.loads(text)[name])
        return text.replace(f'"{name}": {old}', f'"{name}": {value}')

    return change


@pytest.mark.parametrize(
    "change",
    [
        field("recipe", DEEP),
        field("recipe", '{"a":' * 101 + "1" + "}" * 101),
        field("score_tolerance", "1e400"),
        field("score_tolerance", "NaN"),
        field("score_tolerance", "0"),
        field("max_tokens", "1000000000000"),
        field("max_tokens", HUGE),
        field("max_chars", HUGE),
        field("name", '"../words"'),
        field("name", '"wor\\ud83dds"'),
        field("version", '"1\\u001b[2J"'),
        field("target", '"benefit", "target": "benefit"'),
        field("split", '{"seed": 0, "fit": NaN, "calibration": 0.2, "test": 0.2}'),
    ],
    ids=range(13),
)
def test_manifest_that_is_sealed_and_wrong(bundle, change):
    with pytest.raises(BundleError) as refused:
        verify(reseal(bundle, change))
    assert refused.value.exit_code == 2
    assert len(str(refused.value)) < 400


def rows_of(bundle, **changes):
    """Return golden vectors of which the first is changed."""
    first, *rest = (bundle / "golden.jsonl").read_bytes().split(b"\n")
    row = {**json.loads(first), **changes}
    return b"\n".join([json.dumps(row).encode(), *rest])


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\n",
        b"{}\n",
        b"[1]\n",
        b"null\n",
        DEEP.encode(),
        b'{"id": ' + HUGE.encode() + b"}\n",
        b"\n\n",
        {"id": 3},
        {"id": "\x1b[2J"},
        {"threshold": None},
        {"threshold": "high"},
        {"difficulty_score": "high"},
        {"difficulty_score": 1e308},
        {"p_cheap_fails": True},
    ],
    ids=range(14),
)
def test_golden_vectors_that_are_none(bundle, content):
    content = rows_of(bundle, **content) if isinstance(content, dict) else content
    with pytest.raises(BundleError, match=r"golden\.jsonl"):
        verify(reseal(bundle, golden__jsonl=content))


def test_field_that_stands_twice_in_a_policy(bundle):
    """Readers take the first or the last: two routers would decide differently."""
    policy = (bundle / "policy.json").read_text()
    twice = policy.replace("{", '{"threshold": 0.99, ', 1).encode()
    with pytest.raises(BundleError, match=r"policy.json .*field 'threshold' stands there twice"):
        verify(reseal(bundle, policy__json=twice))


def test_sizes_are_compared_before_anything_is_read(bundle):
    """A file of 30 GB that is mostly hole: said to be small, and said to be large."""
    with (bundle / "card.md").open("r+b") as file:
        file.truncate(30 << 30)
    tracemalloc.start()
    with pytest.raises(BundleError, match=r"card\.md was changed"):
        verify(bundle)
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"]["card.md"]["bytes"] = 30 << 30
    reseal(bundle, lambda _: json.dumps(manifest | {"sha256": UNSEALED}))
    with pytest.raises(BundleError, match=r"card\.md is too large"):
        verify(bundle)
    (bundle / "signature").touch()
    reseal(shutil.copytree(SAVED, bundle.with_name("words-2")))
    with (bundle.with_name("words-2") / "signature").open("wb") as file:
        file.truncate(30 << 30)
    with pytest.raises(BundleError, match="signature is too large"):
        verify(bundle.with_name("words-2"))
    assert tracemalloc.get_traced_memory()[1] < 1 << 26
    tracemalloc.stop()


def test_manifest_must_be_a_plain_file(bundle, tmp_path):
    (bundle / "manifest.json").rename(tmp_path / "elsewhere.json")
    (bundle / "manifest.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(BundleError, match=r"manifest\.json must be a plain file"):
        verify(bundle)
    (bundle / "manifest.json").unlink()
    os.mkfifo(bundle / "manifest.json")
    with pytest.raises(BundleError, match=r"manifest\.json must be a plain file"):
        verify(bundle)


@pytest.mark.parametrize(
    "content", [DEEP, "{}", '{"dsseEnvelope": [1]}', '{"dsseEnvelope": {"payload": "W10="}}']
)
def test_signature_that_is_none(bundle, content):
    (bundle / "signature").write_text(content)
    with pytest.raises(BundleError, match="is no signature of a model"):
        verify(bundle)


def test_tokenizer_that_loads_and_fails_on_every_text(bundle):
    """Its word for unknown ones is not in its vocabulary: the library raises a plain Exception."""
    tokenizer = json.loads((bundle / "tokenizer.json").read_text())
    del tokenizer["model"]["vocab"][tokenizer["model"]["unk_token"]]
    with pytest.raises(BundleError, match=r"must score a plain request: got Exception .*\[UNK\]"):
        verify(reseal(bundle, tokenizer__json=json.dumps(tokenizer).encode()))


def mutated(content, rng):
    """Return some bytes with a few places changed: bytes, pieces doubled or left out, big numbers,
    deep lists.
    """
    content = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
        end = min(end, at + 40)
        content[at:end] = rng.choice(
            [
                bytes([rng.randrange(256)]),
                content[at:end] * 2,
                b"",
                HUGE.encode(),
                b"0x" + b"f" * 5_000,
                b"1e400",
                b"-1",
                b"nan",
                b"null",
                b"[" * 2_000,
                b'"\\ud83d"',
            ]
        )
    return bytes(content)


@pytest.mark.parametrize("name", ["policy.json", "golden.jsonl", "metrics.json", "tokenizer.json"])
def test_mutated_files_of_a_bundle(bundle, name):
    """Each is refused, or the bundle works."""
    rng, content, codes = random.Random(7), (bundle / name).read_bytes(), []
    for _ in range(60):
        try:
            reseal(bundle, **{name.replace(".", "__"): mutated(content, rng)})
            shipped_figures(verify(bundle).bundle)
        except DifficultyError as error:
            codes.append(error.exit_code)
    assert {*codes} == {2}


@pytest.mark.parametrize(
    ("read", "source"),
    [
        (load_recipe, REPOSITORY / "pipelines" / "fast.toml"),
        (load_price_list, REPOSITORY / "data" / "prices.example.toml"),
    ],
    ids=["recipe", "prices"],
)
def test_mutated_toml(tmp_path, read, source):
    rng, content, codes = random.Random(7), source.read_bytes(), []
    for _ in range(400):
        (tmp_path / "in.toml").write_bytes(mutated(content, rng))
        try:
            read(tmp_path / "in.toml")
        except DifficultyError as error:
            codes.append(error.exit_code)
    assert {*codes} == {2}


@pytest.mark.parametrize(
    "content",
    [
        f'name = "x"\nseed = {HUGE}\n',
        f'name = "x"\nseed = 0x{"f" * 5_000}\nfolds = 0x{"f" * 5_000}\n',
        f'name = "x"\nunknown = 0x{"f" * 5_000}\n',
        f"name = {DEEP}\n",
        'name = "x"\n' + "a." * 20_000 + "b = 1\n",
        "x" * (1 << 20) + "y",
    ],
    ids=range(6),
)
def test_recipe_that_no_reader_likes(tmp_path, content):
    (tmp_path / "in.toml").write_text(content)
    with pytest.raises(DifficultyError) as refused:
        load_recipe(tmp_path / "in.toml")
    assert refused.value.exit_code == 2
    assert len(str(refused.value)) < 1_000


@pytest.mark.parametrize("read", [load_recipe, load_price_list])
def test_toml_that_never_ends(tmp_path, read):
    (tmp_path / "in.toml").symlink_to("/dev/zero")
    with pytest.raises(DifficultyError, match="larger than|no recipe at"):
        read(tmp_path / "in.toml")


DIGEST = "a" * 64


def event(kind, version, **more):
    """Return an entry of a journal."""
    return {"at": "2026-11-28T00:00:00Z", "event": kind, "version": version, **more}


def published(version, **more):
    return event("published", version, **{"bundle": "words-1", "digest": DIGEST, **more})


@pytest.mark.parametrize(
    "journal",
    [
        DEEP,
        f'{{"format": {HUGE}}}',
        '{"format": 1, "name": "words", "name": "words"}',
        {"events": [published(1, digest="/../../../x")]},
        {"events": [published(1, digest="")]},
        {"events": [published(0)]},
        {"events": [event("promoted", 1)]},
        {"events": [published(1), event("rolled back", 1)]},
        {"events": [published(1), event("promoted", 1), event("rolled back", 1)]},
        {"events": [], "name": "../words"},
        {"events": [], "name": "other"},
    ],
    ids=range(11),
)
def test_journal_that_was_written_by_hand(tmp_path, journal):
    (tmp_path / "words").mkdir()
    if isinstance(journal, dict):
        journal = json.dumps({"format": 1, "name": "words", **journal})
    (tmp_path / "words" / "journal.json").write_text(journal)
    registry = FolderRegistry(tmp_path)
    for ask in (registry.aliases, registry.versions, registry.previous, registry.roll_back):
        with pytest.raises(RegistryError) as refused:
            ask("words")
        assert refused.value.exit_code == 2
