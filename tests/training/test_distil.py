"""Distillation: what a student learns from a teacher, and what it must not."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import spearmanr

from difficulty.encoders.base import StaticEncoder, quantise_rows
from difficulty.errors import RecipeError, RunError, TrafficError
from difficulty.model.combination import Scores
from difficulty.model.difficulty import OutOfFold
from difficulty.model.labelled import LabelledTokens
from difficulty.recipe import parse_recipe
from difficulty.stages.ingest import ingest
from difficulty.stages.train import train
from difficulty.traffic.outcomes import Outcomes
from difficulty.traffic.table import Traffic
from difficulty.training.distil import check_teacher, soft_failures, with_opinion, with_unlabelled
from difficulty.training.run import NamedScores, Run
from tests.fakes import word_tokenizer, write_card
from tests.journey import DRAWS, recipe_of, write_rows

NAN = np.nan


def scores(score, cheap, frontier):
    return Scores(
        difficulty_score=np.array(score),
        p_cheap_fails=np.array(cheap),
        p_frontier_fails=None if frontier is None else np.array(frontier),
    )


def labelled(cheap, frontier, *, votes=None, weight=None):
    """Return samples with some qualities."""
    n = len(cheap)
    outcomes = Outcomes(
        cheap_quality=np.array(cheap, dtype=float),
        frontier_quality=np.array(frontier, dtype=float),
        preferred_gain=np.full(n, NAN) if votes is None else np.array(votes, dtype=float),
        weight=np.ones(n) if weight is None else np.array(weight),
    )
    return LabelledTokens(
        ids=[[number] for number in range(n)],
        outcomes=outcomes,
        groups=[f"g{number}" for number in range(n)],
    )


def test_soft_failures_by_hand():
    """A score of 0.6 is a gain of 0.2: around the mean failure of 0.45 that is 0.55 and 0.35."""
    assert soft_failures(scores([0.6], [0.5], [0.4]), "benefit")[0] == pytest.approx([0.55, 0.35])


def test_soft_failures_differ_by_the_expected_gain():
    """A mean failure of 0.1 leaves no room for a difference of 0.6: it is moved to 0.3."""
    found = soft_failures(scores([0.55, 0.2, 0.8], [0.3, 0.7, 0.1], [0.1, 0.5, 0.1]), "benefit")
    assert found[:, 0] - found[:, 1] == pytest.approx([0.1, -0.6, 0.6])
    assert found[2] == pytest.approx([0.6, 0.0])


def test_teacher_of_the_cheap_model_alone_leaves_the_frontier_model_unknown():
    found = soft_failures(scores([0.3], [0.3], None), "failure")
    assert found[0, 0] == 0.3
    assert np.isnan(found[0, 1])


def test_score_of_a_teacher_for_failure_says_nothing_of_the_gain():
    """It is P(cheap fails) then."""
    assert soft_failures(scores([0.9], [0.9], [0.6]), "failure").tolist() == [[0.9, 0.6]]


def test_taught_mixes_label_and_opinion_by_hand():
    """The sample fails the cheap model and the opinion says 0.55 and 0.35: at a share of 0.25 that
    is 0.8875 and 0.0875.
    """
    opinion = NamedScores(["other", "a"], scores([0.5, 0.6], [0.1, 0.5], [0.1, 0.4]))
    found = with_opinion(labelled([0.0], [1.0], weight=[3.0]), ["a"], opinion, share=0.25).outcomes
    assert found.cheap_failure == pytest.approx([0.75 * 1 + 0.25 * 0.55])
    assert found.frontier_failure == pytest.approx([0.25 * 0.35])
    assert found.gain == pytest.approx([0.75 * 1 + 0.25 * 0.2])
    assert found.weight.tolist() == [3.0]


def test_taught_takes_each_opinion_by_name():
    opinion = NamedScores(["b", "a"], scores([0.5, 0.5], [0.2, 0.9], [0.2, 0.9]))
    found = with_opinion(labelled([1, 1], [1, 1]), ["a", "b"], opinion, share=1.0).outcomes
    assert found.cheap_failure == pytest.approx([0.9, 0.2])


def test_unknown_outcome_stays_unknown():
    """Also the gain: a vote stands where a quality is missing."""
    opinion = NamedScores(["a", "b"], scores([0.6, 0.6], [0.5, 0.5], [0.4, 0.4]))
    found = with_opinion(
        labelled([NAN, 0], [1, NAN], votes=[NAN, 1]), ["a", "b"], opinion, share=0.5
    ).outcomes
    assert np.isnan(found.cheap_quality).tolist() == [True, False]
    assert np.isnan(found.frontier_quality).tolist() == [False, True]
    assert np.isnan(found.gain[0])
    assert found.gain[1] == 1


@pytest.mark.parametrize("qualities", [(0.5, 0.5), (0.4, 0.6)], ids=["equal", "judged apart"])
def test_gain_of_a_tie_is_mixed_too(qualities):
    """The label says 0 and the opinion 0.2."""
    cheap, frontier = qualities
    opinion = NamedScores(["a"], scores([0.6], [0.5], [0.4]))
    found = with_opinion(
        labelled([cheap], [frontier], votes=[0]), ["a"], opinion, share=0.5
    ).outcomes
    assert found.gain == pytest.approx([0.1])


def test_sample_without_an_opinion_is_refused():
    opinion = NamedScores(["a"], scores([0.6], [0.5], [0.4]))
    with pytest.raises(
        RunError, match=r"an opinion of every fit sample: 1 of 2 have none\. .* --start-from"
    ):
        with_opinion(labelled([0, 0], [1, 1]), ["a", "b"], opinion, share=0.5)


def test_joined_rows_keep_what_each_side_knows():
    """Tasks and request weights that one side lacks are unknown, and 1 a sample weight."""
    one, other = (
        labelled([0, 1], [1, 1], votes=[1, NAN], weight=[2.0, 1.0]),
        labelled([0.5], [NAN], weight=[0.25]),
    )
    logged = replace(
        one,
        outcomes=replace(one.outcomes, request_weight=np.array([1.0, 1.0])),
        tasks=["code", None],
    )
    both = logged.joined(other)
    assert both.ids == [[0], [1], [0]]
    assert both.groups == ["g0", "g1", "g0"]
    assert both.tasks == ["code", None, None]
    assert both.outcomes.cheap_quality.tolist() == [0, 1, 0.5]
    assert both.outcomes.weight.tolist() == [2.0, 1.0, 0.25]
    assert both.outcomes.per_request.tolist() == [0.5, 1.0, 1.0]
    assert one.joined(other).tasks is None
    assert one.joined(other).outcomes.request_weight is None


def test_scores_of_the_first_requests():
    """What there is none of stays away."""
    three = replace(
        scores([0.1, 0.2, 0.3], [0.4, 0.5, 0.6], None), familiarity=np.array([0.7, 0.8, 0.9])
    )
    found = three.first(2)
    assert (found.difficulty_score.tolist(), found.p_cheap_fails.tolist()) == (
        [0.1, 0.2],
        [0.4, 0.5],
    )
    assert (found.p_frontier_fails, found.familiarity.tolist()) == (None, [0.7, 0.8])
    assert OutOfFold(three, np.array([2, 0, 1])).first(2).fold.tolist() == [2, 0]


def test_named_scores_are_read_back(journey):
    """The run holds one score for each fit sample, by name; the frontier model's only where it was
    trained.
    """
    run = Run.read(journey.run)
    traffic = Traffic.read(journey.traffic)
    fit = traffic.select(traffic.splits(run.recipe.split.fractions, run.recipe.seed) == "fit").ids
    assert run.out_of_fold.ids == fit
    for name, values in run.out_of_fold.scores.by_name().items():
        assert values.shape == (len(fit),), name
        assert ((values > 0) & (values < 1)).all()


def test_named_scores_of_the_cheap_model_alone_are_read_back(journey, tmp_path):
    NamedScores(["é", "b"], scores([0.1, 0.2], [0.1, 0.2], None)).write(
        tmp_path / "out_of_fold.npz"
    )
    found = Run(tmp_path, None).out_of_fold
    assert found.ids == ["é", "b"]
    assert found.scores.p_frontier_fails is None
    assert found.scores.difficulty_score.tolist() == [0.1, 0.2]


def test_run_of_an_earlier_version_has_no_opinion(tmp_path):
    with pytest.raises(RunError, match=r"holds no out-of-fold scores\. Train it again"):
        _ = Run(tmp_path, None).out_of_fold


def distilled_of(encoder, **changes):
    return recipe_of(encoder, name="student", distil={"share": 0.5}, **changes)


@pytest.fixture(scope="module")
def teacher(journey):
    return Run.read(journey.run)


def test_teacher_of_the_same_traffic_and_split_is_taken(journey, teacher, tmp_path):
    traffic = Traffic.read(journey.traffic)
    check_teacher(distilled_of(journey.encoder), teacher, traffic, None)
    check_teacher(distilled_of(journey.encoder), teacher, traffic, tmp_path / "requests.jsonl")
    check_teacher(teacher.recipe, None, traffic, None)


@pytest.mark.parametrize(
    "changes",
    [{"seed": 1}, {"split": {"fit": 0.7, "calibration": 0.1, "test": 0.2}}],
    ids=["another seed", "another split"],
)
def test_teacher_of_another_split_is_refused(journey, teacher, changes):
    """It may have seen the student's test samples."""
    with pytest.raises(
        RunError,
        match=r"same traffic with the same seed and split: .* Train it again on this traffic",
    ):
        check_teacher(
            distilled_of(journey.encoder, **changes), teacher, Traffic.read(journey.traffic), None
        )


def test_teacher_of_other_traffic_is_refused(journey, teacher):
    traffic = Traffic.read(journey.traffic)
    with pytest.raises(RunError, match="same traffic with the same seed and split"):
        check_teacher(
            distilled_of(journey.encoder),
            teacher,
            traffic.select(np.arange(len(traffic)) > 0),
            None,
        )


def test_missing_teacher_is_refused(journey):
    with pytest.raises(
        RecipeError, match=r"recipe 'student' learns from a teacher: pass --teacher RUN"
    ):
        check_teacher(distilled_of(journey.encoder), None, Traffic.read(journey.traffic), None)


def test_teacher_that_nobody_needs_is_refused(journey, teacher):
    with pytest.raises(
        RecipeError,
        match=(
            r"recipe 'small' learns from no teacher\. Leave out --teacher, or use recipe distilled"
        ),
    ):
        check_teacher(teacher.recipe, teacher, Traffic.read(journey.traffic), None)


def test_unlabelled_requests_need_a_teacher(journey, teacher, tmp_path):
    with pytest.raises(
        RecipeError,
        match=r"unlabelled requests need a teacher: pass --teacher RUN with recipe distilled",
    ):
        check_teacher(
            teacher.recipe, None, Traffic.read(journey.traffic), tmp_path / "requests.jsonl"
        )


def add_unlabelled(teacher, fit, path, kept_out):
    return with_unlabelled(
        fit,
        path,
        teacher,
        view=teacher.view,
        tokenizer=teacher.tokenizer,
        labelled=kept_out,
        share=0.5,
    )


def test_unlabelled_parquet_teaches_as_its_json_lines_do(journey, teacher, tmp_path):
    """What ``ingest`` made of a log of calls, some of them with the outcome of one model: the
    outcomes of the file count for nothing, the teacher's opinion does.
    """
    rows = [
        {"id": f"n-{n}", "prompt": f"alpha {n} beta", "task": ["code", None][n % 2]}
        | ({"route": "cheap", "cheap_quality": 0.0} if n % 3 == 0 else {})
        for n in range(30)
    ]
    lines = write_rows(tmp_path / "requests.jsonl", rows)
    ingest([lines], parquet := tmp_path / "requests.parquet", near_duplicates=False)
    kept_out = Traffic.read(journey.traffic)
    one, other = (
        add_unlabelled(teacher, labelled([0, 1], [1, 1]), path, kept_out)
        for path in (lines, parquet)
    )
    assert len(one) == len(other) == 32
    assert list(map(list, one.ids)) == list(map(list, other.ids))
    assert one.tasks == other.tasks
    for name in ("cheap_quality", "frontier_quality", "weight"):
        np.testing.assert_array_equal(getattr(one.outcomes, name), getattr(other.outcomes, name))


def test_unlabelled_requests_come_after_the_labelled_ones(journey, teacher, tmp_path):
    """Each once, as the teacher's soft outcomes, with the share as weight and a group of its
    own.
    """
    lines = [
        json.dumps({"messages": [{"role": "user", "content": "alpha beta"}], "task": "code"}),
        "{no JSON",
        json.dumps({"prompt": "gamma delta"}),
        json.dumps({"id": "again", "prompt": "alpha beta"}),
        json.dumps({"prompt": "   "}),
        json.dumps({"id": "nothing"}),
        json.dumps({"messages": ["no message"]}),
        json.dumps({"messages": [{"role": "user", "content": 7}]}),
    ]
    path = tmp_path / "requests.jsonl"
    path.write_text("\n".join(lines) + "\n")
    fit = labelled([0, 1], [1, 1])
    both = add_unlabelled(teacher, fit, path, Traffic.read(journey.traffic))
    assert len(both) == 4
    ids = [read.ids for read in teacher.tokenizer.encode_batch(["alpha beta", "gamma delta"])]
    assert [list(row) for row in both.ids[2:]] == [list(row) for row in ids]
    assert both.tasks == [None, None, "code", None]
    assert len(set(both.groups)) == 4
    assert both.outcomes.weight.tolist() == [1, 1, 0.5, 0.5]
    expected = teacher.model.predict(ids, ["code", None])
    assert both.outcomes.gain[2:] == pytest.approx(2 * expected.difficulty_score - 1)
    middle = (expected.p_cheap_fails + expected.p_frontier_fails) / 2
    assert (both.outcomes.cheap_failure + both.outcomes.frontier_failure)[2:] / 2 == pytest.approx(
        middle
    )


def test_texts_of_labelled_samples_are_left_out(journey, teacher, tmp_path):
    """Whichever split they are in: of the fit samples the teacher saw the label, the others judge
    the student.
    """
    traffic = Traffic.read(journey.traffic)
    rows = [{"messages": messages} for messages in traffic.messages()] + [
        {"prompt": "nobody asked this before"}
    ]
    path = write_rows(tmp_path / "requests.jsonl", rows)
    assert len(add_unlabelled(teacher, labelled([0], [1]), path, traffic)) == 2
    path = write_rows(tmp_path / "known.jsonl", rows[:-1])
    with pytest.raises(
        TrafficError,
        match=(
            r"known\.jsonl must hold requests that are not among the labelled ones: got none\."
            r" Check"
        ),
    ):
        add_unlabelled(teacher, labelled([0], [1]), path, traffic)


def test_fit_samples_are_kept_out_when_training(journey, teacher, tmp_path):
    """Given the labelled traffic itself as unlabelled, a student has nothing to add."""
    with pytest.raises(TrafficError, match="not among the labelled ones"):
        teach(journey, teacher, tmp_path / "run", unlabelled=journey.source)
    assert list(tmp_path.iterdir()) == []


def teach(journey, teacher, out, *, unlabelled, **changes):
    recipe, encoder = distilled_of(journey.encoder, **changes), StaticEncoder.load(journey.encoder)
    return train(
        journey.traffic,
        out,
        recipe=recipe,
        encoder=encoder,
        teacher=teacher,
        unlabelled=unlabelled,
        draws=DRAWS,
    )


def test_students_run_says_whom_it_learned_from(journey, teacher, tmp_path):
    """No learning curve and no advice on unseen tasks, since the teacher saw all labels and tasks;
    its samples are the labelled ones.
    """
    path = write_rows(
        tmp_path / "requests.jsonl", [{"prompt": f"request number {number}"} for number in range(5)]
    )
    run, _ = teach(journey, teacher, tmp_path / "run", unlabelled=path, labels={"row_weight": 0.5})
    assert run.record.teacher["name"] == "small"
    assert run.record.unlabelled == 5
    assert run.record.samples == teacher.record.samples
    assert run.out_of_fold.ids == teacher.out_of_fold.ids
    assert {len(values) for values in run.out_of_fold.scores.by_name().values()} == {464}
    assert run.learning_curve is None
    assert "learned from its teacher" in run.record.familiarity.sentence
    assert (teacher.record.teacher, teacher.record.unlabelled) == (None, 0)
    assert teacher.learning_curve is not None


# --- a student of a good teacher
# -------------------------------------------------------------------------------------------------

N_WORDS = 400
DIFFICULTY = np.random.default_rng(11).uniform(-1, 1, N_WORDS)
"""How hard each word makes a request."""


def write_wise_encoder(folder):
    """Write an encoder whose two dimensions hold what makes a request hard: difficulty, and 1."""
    folder.mkdir(parents=True)
    vocabulary = {"[UNK]": 0} | {f"w{number}": number + 1 for number in range(N_WORDS)}
    table, scale = quantise_rows(
        np.vstack([[0.0, 1.0], np.column_stack([DIFFICULTY, np.ones(N_WORDS)])])
    )
    np.savez(folder / "table.npz", table=table, scale=scale)
    word_tokenizer(vocabulary).save(str(folder / "tokenizer.json"))
    write_card(folder, format=1)
    return folder


def made_up(n, *, seed):
    """Return requests of six to twelve words, and how hard each is on average."""
    rng = np.random.default_rng(seed)
    words = [rng.integers(0, N_WORDS, rng.integers(6, 13)) for _ in range(n)]
    return (
        [" ".join(f"w{word}" for word in row) for row in words],
        np.array([DIFFICULTY[row].mean() for row in words]),
        rng,
    )


def made_up_traffic(folder, *, n, seed):
    """Write labelled traffic: the cheap model fails the more the harder the words, the frontier
    model one in ten.
    """
    texts, hard, rng = made_up(n, seed=seed)
    fails = rng.random(n) < expit(8 * hard)
    rows = [
        {
            "id": f"r{number}",
            "prompt": text,
            "cheap_quality": float(not failed),
            "frontier_quality": float(rng.random() > 0.1),
        }
        for number, (text, failed) in enumerate(zip(texts, fails, strict=True))
    ]
    ingest(
        [write_rows(folder / "rows.jsonl", rows)], folder / "rows.parquet", near_duplicates=False
    )
    return folder / "rows.parquet"


def agreement(run, *, seed=99):
    """Return how well a run ranks 3,000 new requests by their true difficulty."""
    texts, hard, _ = made_up(3_000, seed=seed)
    found = run.model.predict(
        [read.ids for read in run.tokenizer.encode_batch(texts)]
    ).difficulty_score
    return float(spearmanr(found, hard).statistic)


def test_student_of_a_good_teacher_beats_the_same_recipe_without(tmp_path):
    """With 300 labels and 3,000 requests without: the teacher sees what matters, the student has to
    learn each word.
    """
    folder = write_wise_encoder(tmp_path / "encoder")
    encoder, traffic = StaticEncoder.load(folder), made_up_traffic(tmp_path, n=300, seed=0)
    unlabelled = write_rows(
        tmp_path / "requests.jsonl", [{"prompt": text} for text in made_up(3_000, seed=1)[0]]
    )

    def trained(name, features, **choices):
        form = {"name": name, "folds": 3, "calibration": "split"}
        form |= {"features": {"encoder": str(folder), **features}}
        form |= {"distil": {"share": 0.5}} if "teacher" in choices else {}
        quick = {"draws": 5, "more_labels": False, "unseen_tasks": False}
        return train(
            traffic,
            tmp_path / name,
            recipe=parse_recipe(form, name=name),
            encoder=encoder,
            **quick,
            **choices,
        )[0]

    words = {"ngrams": {"buckets": 4096, "strength": 3.0}, "embedding": False}
    teacher = trained("teacher", {"ngrams": False, "embedding": {"strength": 1.0}})
    plain = agreement(trained("plain", words))
    student = agreement(trained("student", words, teacher=teacher, unlabelled=unlabelled))
    assert agreement(teacher) > 0.95
    assert student > plain + 0.4, (student, plain)
