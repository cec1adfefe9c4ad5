"""int8 at shipping time: a run that was trained on float32 vectors, shipped with an encoder that
decides almost the same.
"""

from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from difficulty.errors import RunError
from difficulty.request import Request
from difficulty.runtime import Router
from difficulty.stages import exporting
from difficulty.stages.ship import ship
from difficulty.stages.verify import verify
from difficulty.thresholds.ways import WayWanted
from difficulty.traffic.stored.tokenized import tokenize
from difficulty.training.answering import check_by_run
from difficulty.training.run import Run
from tests.journey import DRAWS, train_with_transformer

BUDGET = 0.05
RECIPE = {
    "name": "tiny",
    "folds": 2,
    "features": {"ngrams": False, "embedding": {"strength": 0.1, "beside_guess": True}},
    "export": {"int8": True, "int8_flips": BUDGET},
}


# The request's score decides: where the check of answers does alone, int8 changes no decision.
ALONE = WayWanted("off")


@pytest.fixture(scope="module")
def run_folder(journey, tmp_path_factory):
    """A run whose encoder has float32 weights: four matrices, and the table of tokens."""
    return train_with_transformer(
        journey, tmp_path_factory.mktemp("exporting"), RECIPE, dim=16, layers=4
    )


@pytest.fixture(scope="module")
def shipped(run_folder):
    return ship(
        run_folder, run_folder.parent / "tiny-1", draws=DRAWS, allow_no_signal=True, answer=ALONE
    )


def notes_of(shipped):
    """Return what is said beside how clear the signal of so few samples is."""
    return tuple(note for note in shipped.notes if not note.startswith("The score carries"))


def operators_of(bundle):
    """Return the operators of the scorer: ``MatMulInteger`` where weights are int8."""
    return {node.op_type for node in onnx.load_from_string(bundle.files["scorer.onnx"]).graph.node}


def test_encoder_is_int8_and_the_bundle_says_so(shipped):
    assert shipped.parity.encoder.startswith("int8, ")
    assert notes_of(shipped) == ()
    assert "MatMulInteger" in operators_of(shipped.bundle)
    assert shipped.bundle.manifest.recipe["export"]["int8"]
    assert "shipped with others: int8, " in shipped.bundle.files["card.md"].decode()
    assert verify(shipped.bundle.path).passed


def test_flips_are_counted_however_near_the_threshold(shipped, run_folder):
    """By hand on the calibration requests: what the router decides beside what the Python model's
    score says.
    """
    run, threshold = Run.read(run_folder), shipped.bundle.policy.threshold
    tokens = tokenize(run.calibration, view=run.view, tokenizer=run.tokenizer)
    python = run.model.predict(tokens.ids, tokens.tasks).difficulty_score > threshold
    requests = [
        Request(messages, task)
        for messages, task in zip(run.calibration.messages(), run.calibration.tasks, strict=True)
    ]
    scorer = Router.load(shipped.bundle.path).scorer
    shipped_scores = scorer.score_many(
        [scorer.encode(request.messages, request.task).ids for request in requests]
    )["difficulty_score"]
    flips = int((python != (shipped_scores > threshold)).sum())
    assert flips <= shipped.parity.flips <= BUDGET * shipped.parity.n
    assert shipped.parity.max_difference > run.recipe.export.max_score_difference
    assert not np.allclose(
        shipped_scores, run.model.predict(tokens.ids, tokens.tasks).difficulty_score, atol=1e-5
    )


def test_without_int8_the_encoder_stays_as_it_was_trained(run_folder, tmp_path):
    plain = ship(
        run_folder, tmp_path / "tiny-2", int8=False, draws=DRAWS, allow_no_signal=True, answer=ALONE
    )
    assert "MatMulInteger" not in operators_of(plain.bundle)
    assert not plain.bundle.manifest.recipe["export"]["int8"]
    assert (plain.parity.encoder, plain.parity.flips, notes_of(plain)) == (None, 0, ())
    assert "shipped with others" not in plain.bundle.files["card.md"].decode()


def test_rungs_that_change_too_much_are_passed_over(run_folder, tmp_path, monkeypatch):
    """The first two rungs are made useless here: a rung that decides well enough ships, and says
    what it keeps.
    """

    def some_useless(encoder, ids):
        for rung in original(encoder, ids):
            yield rung._replace(encoder=useless(encoder)) if rung.kept < 2 else rung

    original = exporting.ladder
    monkeypatch.setattr(exporting, "ladder", some_useless)
    found = ship(run_folder, tmp_path / "tiny-3", draws=DRAWS, allow_no_signal=True, answer=ALONE)
    assert found.parity.encoder == "int8, 2 of 5 weight matrices in float32"


def test_where_no_rung_will_do_the_encoder_ships_as_it_was_trained(
    run_folder, tmp_path, monkeypatch
):
    original = exporting.ladder
    monkeypatch.setattr(
        exporting,
        "ladder",
        lambda encoder, ids: (
            rung._replace(encoder=useless(encoder)) for rung in original(encoder, ids)
        ),
    )
    found = ship(run_folder, tmp_path / "tiny-4", draws=DRAWS, allow_no_signal=True, answer=ALONE)
    assert found.parity.encoder is None
    assert notes_of(found) == (
        (
            "the encoder stays float32: every int8 form of it that was tried changes more than"
            " 5.00% of the decisions"
        ),
    )
    assert "MatMulInteger" not in operators_of(found.bundle)


def useless(encoder):
    """Return an encoder whose token vectors are those of other tokens."""
    graph = onnx.load_from_string(encoder.graph)
    table = next(item for item in graph.graph.initializer if item.name == "tokens.table")
    array = onnx.numpy_helper.to_array(table)[::-1].copy()
    table.CopyFrom(onnx.numpy_helper.from_array(array, table.name))
    return encoder.with_graph(graph.SerializeToString())


@pytest.fixture(scope="module")
def gate(run_folder):
    return exporting._Gate(Run.read(run_folder), None)


def gated(gate, answer):
    """Return what passes the gate with an encoder that is made useless, and no budget, where the
    score alone sends nothing.
    """
    rung = next(iter(gate.rungs()))
    point = SimpleNamespace(threshold=1.0, answer=SimpleNamespace(kind="check", **answer))

    class Routed:
        """The calibration requests, of which the rule sends none by its score."""

        def __len__(self):
            return len(gate.calibration_ids)

        def cuts(self, _):
            return np.ones(len(self))

    return gate.lossy(
        rung._replace(encoder=useless(gate.run.encoder)),
        lambda served: (point, Routed()),
        min_familiarity=0.0,
        budget=1.0,
    )


def test_where_the_check_decides_alone_flips_are_those_at_the_requests_threshold(gate):
    """There the score decides where no check can count, and its threshold is not that of the rule,
    which is 1 and passed by nothing.
    """
    python = gate.python.difficulty_score
    middle = float(np.median(python))
    exported = gated(gate, {"request_threshold": middle, "threshold": 2.0})
    n = len(gate.calibration_ids)
    served = exported.served.outputs["difficulty_score"]
    flips = int(((python[:n] > middle) != (served > middle)).sum())
    assert 0 < flips <= exported.report.flips <= flips + len(python) - n
    assert gated(gate, {"request_threshold": None, "threshold": 2.0}).report.flips == 0


def test_answers_that_are_sent_on_otherwise_are_flips(gate):
    """int8 moves what the check is told of the request, and so what it says of the answer."""
    run = gate.run
    n, said = len(gate.calibration_ids), gate.python
    first = SimpleNamespace(
        by_name=lambda: {name: values[:n] for name, values in said.by_name().items()}
    )
    before = check_by_run(run, run.calibration, first).answer_score
    answered = ~np.isnan(before)
    middle = float(np.median(before[answered]))
    exported = gated(gate, {"request_threshold": None, "threshold": middle})
    told = SimpleNamespace(by_name=lambda: exported.served.outputs)
    after = check_by_run(run, run.calibration, told).answer_score
    flips = int(((before > middle) != (after > middle))[answered].sum())
    assert exported.report.flips == flips > 0


def test_encoder_without_float32_weights_is_refused(journey, tmp_path):
    with pytest.raises(
        RunError,
        match=(
            r"int8 at shipping needs an encoder with float32 weights: that of .* has none\. Train"
            r" with"
        ),
    ):
        ship(journey.run, tmp_path / "small-9", int8=True, draws=DRAWS)
    assert list(tmp_path.iterdir()) == []
