import hashlib
import json
import os
import shutil

import pytest

from difficulty.bundle import BUNDLE_FORMAT, read_bundle, write_bundle
from difficulty.bundle.policy import UNSEALED, seal
from difficulty.bundle.store import REQUIRED_FILES
from difficulty.errors import BundleError, BundleNotFoundError
from difficulty.stages.verify import verify
from tests.bundle.conftest import SAVED
from tests.data.make_bundle import manifest_of, write_small_bundle

ALL_FILES = [*REQUIRED_FILES, "manifest.json"]


def files_of(folder):
    """Return the content of a bundle's files without its manifest."""
    return {name: (folder / name).read_bytes() for name in REQUIRED_FILES}


def rewrite_manifest(folder, **changes):
    """Change fields of a manifest and seal it again, as someone who means to deceive would."""
    form = json.loads((folder / "manifest.json").read_text()) | changes | {"sha256": UNSEALED}
    (folder / "manifest.json").write_bytes(seal(json.dumps(form).encode()))


def put(folder, name, content):
    """Replace a file and its entry in the manifest."""
    (folder / name).write_bytes(content)
    files = json.loads((folder / "manifest.json").read_text())["files"]
    files[name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    rewrite_manifest(folder, files=files)


def test_bundle_of_format_1_stays_readable():
    """Shipped bundles outlive the code: this one is never made again, and its golden vectors never
    change.
    """
    found = verify(SAVED)
    assert (found.bundle.manifest.format, found.golden, found.differences) == (1, 58, [])
    assert found.bundle.policy.threshold == 0.6
    first = json.loads(found.bundle.files["golden.jsonl"].split(b"\n")[0])
    assert (first["input_ids"], first["difficulty_score"]) == (
        [3, 17, 3],
        pytest.approx(0.66373366, abs=1e-7),
    )


def test_written_bundle_is_read_back(tmp_path):
    files = files_of(SAVED)
    written = write_bundle(tmp_path / "deep" / "new-1", files, manifest_of())
    read = read_bundle(tmp_path / "deep" / "new-1")
    assert read == written
    assert dict(read.files) == files
    assert {name: entry.bytes for name, entry in read.manifest.files.items()} == {
        name: len(content) for name, content in files.items()
    }
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["new-1"]
    assert (tmp_path / "deep" / "new-1").stat().st_mode & 0o777 == 0o755


def test_the_recipe_of_the_saved_bundle_still_works(tmp_path):
    """``tests.data.make_bundle`` is how the next format's saved bundle will be made."""
    assert verify(write_small_bundle(tmp_path / "new-1").path).passed


@pytest.mark.parametrize("step", ["rename", "fsync"])
def test_crash_while_writing_leaves_nothing(tmp_path, monkeypatch, step):
    def crash(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, step, crash)
    with pytest.raises(KeyboardInterrupt):
        write_bundle(tmp_path / "new-1", files_of(SAVED), manifest_of())
    assert list(tmp_path.iterdir()) == []


def test_writing_never_overwrites(bundle):
    before = files_of(bundle)
    with pytest.raises(
        BundleError, match="exists already. Bundles are never overwritten: choose a new version"
    ):
        write_bundle(bundle, files_of(SAVED), manifest_of())
    assert files_of(bundle) == before


@pytest.mark.parametrize(
    ("files", "manifest", "message"),
    [
        ({"card.md": None}, {}, "a bundle needs the files .* got none of card.md"),
        (
            {},
            {"max_tokens": 0},
            "manifest.json: max_tokens must be at least 1: got 0. Ship the bundle again",
        ),
        (
            {},
            {"colour": "red"},
            "manifest.json: colour is not a field that this version knows: got 'red'",
        ),
        ({}, {"text_view": 99}, "text view 99 is not one this runtime knows"),
        ({"policy.json": b"{}"}, {}, "policy.json: cheap_model is missing"),
        ({"policy.json": b'{"cheap'}, {}, "policy.json is not valid JSON"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_could_not_be_read_is_not_written(tmp_path, files, manifest, message):
    content = {
        name: value for name, value in (files_of(SAVED) | files).items() if value is not None
    }
    with pytest.raises(BundleError, match=message):
        write_bundle(tmp_path / "new-1", content, manifest_of(**manifest))
    assert list(tmp_path.iterdir()) == []


def test_min_familiarity_needs_a_scorer_that_knows_it(tmp_path):
    policy = json.loads(files_of(SAVED)["policy.json"]) | {"min_familiarity": 0.2}
    files = files_of(SAVED) | {"policy.json": json.dumps(policy).encode()}
    without = [name for name in manifest_of()["outputs"] if name != "familiarity"]
    with pytest.raises(
        BundleError,
        match="policy.json asks for a min_familiarity, but this scorer has no familiarity output",
    ):
        write_bundle(tmp_path / "new-1", files, manifest_of(outputs=without))
    assert list(tmp_path.iterdir()) == []
    assert (
        write_bundle(
            tmp_path / "new-1", files, manifest_of(outputs=[*without, "familiarity"])
        ).policy.min_familiarity
        == 0.2
    )


@pytest.mark.parametrize("place", [0.0, 0.3, 0.5, 0.77, 0.999])
@pytest.mark.parametrize("name", ALL_FILES)
def test_one_changed_byte_is_refused(bundle, name, place):
    content = bytearray((bundle / name).read_bytes())
    content[int(place * len(content))] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(BundleError, match=name.replace(".", r"\.")):
        read_bundle(bundle)


@pytest.mark.parametrize(
    "field", ["name", "version", "training_data", "max_tokens", "score_tolerance"]
)
def test_changed_field_of_the_manifest_is_refused(bundle, field):
    """Valid JSON with valid values is no excuse."""
    form = json.loads((bundle / "manifest.json").read_text())
    form[field] = 63 if field == "max_tokens" else 1.0 if field == "score_tolerance" else "1" * 64
    (bundle / "manifest.json").write_text(json.dumps(form))
    with pytest.raises(BundleError, match="bundle file manifest.json was changed"):
        read_bundle(bundle)


@pytest.mark.parametrize("name", ALL_FILES)
def test_truncated_file_is_refused(bundle, name):
    content = (bundle / name).read_bytes()
    (bundle / name).write_bytes(content[:-1])
    with pytest.raises(BundleError, match=name):
        read_bundle(bundle)


@pytest.mark.parametrize("name", ALL_FILES)
def test_missing_file_is_refused(bundle, name):
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=rf"{name}.*Copy the whole folder, or ship it again"):
        read_bundle(bundle)


@pytest.mark.parametrize("name", REQUIRED_FILES)
def test_required_file_that_the_manifest_leaves_out_is_refused(bundle, name):
    files = json.loads((bundle / "manifest.json").read_text())["files"]
    del files[name]
    rewrite_manifest(bundle, files=files)
    with pytest.raises(BundleError, match=f"bundle file {name} is not in the manifest"):
        read_bundle(bundle)


@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "weights"])
def test_added_file_is_refused(bundle, name):
    (bundle / name).mkdir() if name == "weights" else (bundle / name).write_text("x")
    with pytest.raises(BundleError, match=f"bundle file {name} is not in the manifest. Remove it"):
        read_bundle(bundle)


def test_signature_beside_the_files_is_no_added_file(bundle):
    (bundle / "signature").write_text("x")
    assert read_bundle(bundle).manifest.name == "bundle-format"


@pytest.mark.parametrize("name", REQUIRED_FILES)
def test_symlink_is_refused_even_with_the_right_content(bundle, tmp_path, name):
    (bundle / name).rename(tmp_path / name)
    (bundle / name).symlink_to(tmp_path / name)
    with pytest.raises(BundleError, match=f"bundle file {name} must be a plain file"):
        read_bundle(bundle)


def test_file_outside_the_folder_is_refused(bundle, tmp_path):
    """A manifest cannot make the reader open other files."""
    (tmp_path / "secret").write_text("x")
    files = json.loads((bundle / "manifest.json").read_text())["files"]
    files["../secret"] = {"sha256": hashlib.sha256(b"x").hexdigest(), "bytes": 1}
    rewrite_manifest(bundle, files=files)
    with pytest.raises(BundleError, match="bundle file ../secret is missing"):
        read_bundle(bundle)


def test_newer_format_is_refused_with_what_to_do(bundle):
    rewrite_manifest(bundle, format=BUNDLE_FORMAT + 2, field_of_the_future=1)
    with pytest.raises(BundleError) as caught:
        read_bundle(bundle)
    assert (
        str(caught.value)
        == "bundle format 3 is newer than this runtime reads (1 to 1). Upgrade difficulty or export"
        " again."
    )


@pytest.mark.parametrize("value", [0, -1, "x", "1", None, 1.5, [1]])
def test_format_that_is_none_is_refused(bundle, value):
    rewrite_manifest(bundle, format=value)
    with pytest.raises(BundleError) as caught:
        read_bundle(bundle)
    assert (
        str(caught.value)
        == f"manifest.json must name the bundle format (1 to 1): got {value!r}. Ship the bundle"
        " again."
    )


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{", b"\xff\xfe", b'{"format": 1}'])
def test_manifest_that_is_none_is_refused(bundle, content):
    (bundle / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        read_bundle(bundle)


def test_unknown_text_view_is_refused(bundle):
    rewrite_manifest(bundle, text_view=3)
    with pytest.raises(
        BundleError,
        match=r"text view 3 is not one this runtime knows \(\[1, 2\]\). Upgrade difficulty",
    ):
        read_bundle(bundle)


def test_text_view_2_without_what_it_learned_is_refused(bundle):
    rewrite_manifest(bundle, text_view=2)
    with pytest.raises(BundleError, match=r"must have view\.json where its text view is 2"):
        read_bundle(bundle)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"threshold": 70},
            "policy.json: threshold must be in \\[0, 1\\]: got 70. Ship the bundle again",
        ),
        (
            {"thresold": 0.5},
            "policy.json: thresold is not a field that this version knows: got 0.5",
        ),
        (
            {"easy_tasks": ["multi-step planning"]},
            "policy.json must say of a task .* not both: got multi-step planning",
        ),
        ({"min_familiarity": 0.5}, "policy.json asks for a min_familiarity"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_policy_is_checked_though_its_hash_is_right(bundle, change, message):
    policy = json.loads((bundle / "policy.json").read_text()) | change
    put(bundle, "policy.json", json.dumps(policy).encode())
    with pytest.raises(BundleError, match=message):
        read_bundle(bundle)


def test_no_bundle_is_not_found(tmp_path):
    with pytest.raises(BundleNotFoundError, match="expected a folder written by 'difficulty ship'"):
        read_bundle(tmp_path / "none")
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileNotFoundError, match="no bundle at"):
        read_bundle(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match="has no manifest.json"):
        read_bundle(tmp_path / "empty")


def test_reading_follows_a_link_to_the_folder(tmp_path):
    """``current -> support-2`` is how a version is switched."""
    shutil.copytree(SAVED, tmp_path / "support-2")
    (tmp_path / "current").symlink_to("support-2")
    assert read_bundle(tmp_path / "current").manifest.version == "1"


ANSWER_FACTS = json.dumps(
    {"facts_version": 1, "facts": [{"name": "chars", "mean": 4.0, "sd": 1.0, "known": 1.0}]}
).encode()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "policy.json has a check of answers, but the bundle has no answer.onnx. Ship the"),
        ({"answer.onnx": b"x"}, "a bundle with answer.onnx must have answer.json too: got none"),
        ({"answer.json": ANSWER_FACTS}, "policy.json has a check of answers, but the bundle"),
        (
            {"answer.onnx": b"x", "answer.json": b'{"facts_version": 1}'},
            "answer.json: facts is missing. Ship the bundle again",
        ),
        (
            {"answer.onnx": b"x", "answer.json": ANSWER_FACTS.replace(b"4.0", b"NaN")},
            r"answer.json: facts\.0\.mean must be a finite number",
        ),
    ],
    ids=range(5),
)
def test_a_check_of_answers_is_whole_or_not_there(tmp_path, files, message):
    policy = json.loads(files_of(SAVED)["policy.json"]) | {"answer": {"threshold": 0.5}}
    content = files_of(SAVED) | {"policy.json": json.dumps(policy).encode()} | files
    with pytest.raises(BundleError, match=message):
        write_bundle(tmp_path / "new-1", content, manifest_of())
    assert list(tmp_path.iterdir()) == []


def test_bundle_with_a_check_knows_its_facts(tmp_path):
    """The graph is loaded by who uses it; a policy may leave the check alone."""
    content = files_of(SAVED) | {"answer.onnx": b"x", "answer.json": ANSWER_FACTS}
    bundle = write_bundle(tmp_path / "new-1", content, manifest_of())
    assert bundle.policy.answer is None
    assert [fact.name for fact in bundle.answer_facts.facts] == ["chars"]
    assert read_bundle(SAVED).answer_facts is None
