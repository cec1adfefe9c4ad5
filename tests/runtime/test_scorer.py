import hashlib
import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.bundle import read_bundle
from difficulty.bundle.policy import UNSEALED, seal
from difficulty.errors import BundleError, InvalidValueError, ScoringError
from difficulty.runtime import Router, Score, Scorer
from difficulty.runtime.session import _MOST_PAIRS, MOST_ROWS, _batches, load_session
from difficulty.text import TextView
from difficulty.tokens import RequestTokenizer, pad
from tests.fakes import word_tokenizer
from tests.runtime.conftest import first_id_graph, hand_made

LENGTHS = st.lists(st.integers(0, 600) | st.sampled_from([0, 1, 512, 2000, 5000]), max_size=600)


def replace_in_bundle(folder, out, **contents):
    """Copy a bundle with other files in it, hashes and seal made right again."""
    shutil.copytree(folder, out)
    form = json.loads((out / "manifest.json").read_text())
    for name, content in contents.items():
        path = {"graph": "scorer.onnx", "tokenizer": "tokenizer.json"}[name]
        (out / path).write_bytes(content)
        form["files"][path] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (out / "manifest.json").write_bytes(seal(json.dumps(form | {"sha256": UNSEALED}).encode()))
    return out


def test_scores_by_hand():
    """The graph made by hand gives 7/200 for word w7, whatever follows it."""
    scorer = hand_made().scorer
    assert scorer.score("w7 w100 w3") == pytest.approx((0.035, 0.035, None, None))
    assert scorer.encode("w7 w100 w3").ids == [7, 100, 3]
    many = scorer.score_many([[7, 1], [199], [0, 5, 5]])
    assert list(many) == ["difficulty_score", "p_cheap_fails"]
    assert many["difficulty_score"] == pytest.approx([0.035, 0.995, 0.0])


def test_batch_gives_what_single_requests_give(scorer, texts):
    """Order is kept, whatever the lengths; an empty request in between takes nothing from the
    others.
    """
    rows = [scorer.encode(messages).ids for messages in texts]
    rows = [*rows[:20], [], *rows[20:], [1], rows[0] * 10]
    many = scorer.score_many(rows)
    for index, row in enumerate(rows):
        single = scorer.score_ids(row)
        for name in scorer.outputs:
            assert many[name][index] == pytest.approx(getattr(single, name), abs=2e-6)


def test_empty_batch_has_every_output_and_no_rows(scorer):
    assert {name: values.shape for name, values in scorer.score_many([]).items()} == dict.fromkeys(
        scorer.outputs, (0,)
    )


def test_padding_and_what_stands_in_it_change_nothing(scorer):
    rng = np.random.default_rng(1)
    rows = [rng.integers(0, 500, size).tolist() for size in (1, 3, 17, 40)]
    ids, mask = pad(rows)
    wide, wide_mask = (np.pad(array, ((0, 0), (0, 25))) for array in (ids, mask))
    noisy = np.where(wide_mask == 1, wide, 321)
    expected = scorer.graph.session.run(scorer.outputs, {"input_ids": ids, "attention_mask": mask})
    for padded in (wide, noisy):
        found = scorer.graph.session.run(
            scorer.outputs, {"input_ids": padded, "attention_mask": wide_mask}
        )
        for one, other in zip(found, expected, strict=True):
            assert one == pytest.approx(other, abs=2e-6)


@given(LENGTHS)
def test_batches_hold_every_row_once_within_rows_and_memory(lengths):
    batches = list(_batches(lengths))
    assert sorted(index for batch in batches for index in batch.tolist()) == list(
        range(len(lengths))
    )
    for batch in batches:
        longest = max(lengths[index] for index in batch)
        assert len(batch) <= MOST_ROWS
        assert len(batch) == 1 or len(batch) * longest**2 <= _MOST_PAIRS


def test_batches_start_with_the_longest():
    """So that a batch too large for the machine fails at once, not after an hour."""
    assert [batch.tolist() for batch in _batches([1, 2000, 3, 1900])] == [[1], [3], [0, 2]]


def test_tokens_of_a_long_request_are_estimated():
    """10,000 words of 3 characters: the view keeps 8,192 characters, the count is scaled up to all
    of them.
    """
    encoded = hand_made().scorer.encode("w7 " * 10_000)
    assert (len(encoded.ids), encoded.estimated, encoded.truncated) == (64, True, True)
    assert encoded.tokens == pytest.approx(10_000, rel=0.001)


def test_tokens_past_the_scorers_limit_are_counted_but_not_seen():
    encoded = hand_made().scorer.encode("w7 " * 65)
    assert (len(encoded.ids), encoded.tokens, encoded.estimated, encoded.truncated) == (
        64,
        65,
        False,
        True,
    )
    assert hand_made().scorer.encode("w7 " * 64).truncated is False


@pytest.mark.parametrize(
    "messages",
    [
        "",
        " \n\t",
        [],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": [{"type": "image_url"}]}],
    ],
)
def test_request_without_text_cannot_be_scored(scorer, messages):
    with pytest.raises(ScoringError, match="must hold some text to be scored: got none"):
        scorer.score(messages)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    "name", ["difficulty_score", "p_cheap_fails", "p_frontier_fails", "familiarity"]
)
def test_score_that_is_no_number_is_refused(name, bad):
    values = {
        "difficulty_score": 0.5,
        "p_cheap_fails": 0.5,
        "p_frontier_fails": 0.5,
        "familiarity": 0.5,
    }
    assert Score.of(values) == (0.5, 0.5, 0.5, 0.5)
    # A share that float32 rounds to a little above 1 is 1.
    assert Score.of({**values, "familiarity": 1.0000001}).familiarity == 1.0
    with pytest.raises(ScoringError, match=f"{name} must be a number: got {bad}"):
        Score.of(values | {name: bad})


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ({"outputs": ("p_cheap_fails",)}, "scorer.onnx must have the output 'difficulty_score'"),
        ({"outputs": ("difficulty_score",)}, "scorer.onnx must have the output 'p_cheap_fails'"),
        ({"inputs": ("ids", "attention_mask")}, "scorer.onnx must have the inputs"),
        (
            {"inputs": ("input_ids", "attention_mask", "token_type_ids")},
            "scorer.onnx must have the inputs",
        ),
    ],
    ids=str,
)
def test_graph_that_breaks_the_contract_is_refused(graph, message):
    with pytest.raises(BundleError, match=message):
        Scorer(
            load_session(first_id_graph(**graph)), RequestTokenizer(word_tokenizer()), TextView()
        )


def test_graph_without_an_output_the_manifest_promises_is_refused(journey, tmp_path):
    """Else a min_familiarity would be met by a scorer that knows none, and quietly do nothing."""
    folder = replace_in_bundle(journey.bundle, tmp_path / "other-1", graph=first_id_graph())
    read_bundle(folder)
    with pytest.raises(
        BundleError,
        match=r"must have the outputs of the manifest, .*'p_frontier_fails'.*Ship the bundle again",
    ):
        Router.load(folder)


@pytest.mark.parametrize("damage", [b"", b"no graph", "half"])
def test_broken_graph_is_refused_when_loaded(journey, tmp_path, damage):
    whole = (journey.bundle / "scorer.onnx").read_bytes()
    folder = replace_in_bundle(
        journey.bundle,
        tmp_path / "other-1",
        graph=whole[: len(whole) // 2] if damage == "half" else damage,
    )
    with pytest.raises(
        BundleError, match=r"scorer\.onnx cannot be loaded .* Ship the bundle again"
    ):
        Router.load(folder)


@pytest.mark.parametrize("content", [b"{}", b"not json", b""])
def test_broken_tokenizer_is_refused_when_loaded(journey, tmp_path, content):
    folder = replace_in_bundle(journey.bundle, tmp_path / "other-1", tokenizer=content)
    with pytest.raises(BundleError, match=r"tokenizer\.json cannot be loaded"):
        Router.load(folder)


@pytest.mark.parametrize("threads", [0, -1])
def test_session_needs_a_thread(small, threads):
    with pytest.raises(InvalidValueError, match="threads must be 1 or more"):
        Scorer.from_bundle(small, threads=threads)
