"""The search on made-up traffic, and through training; time is a clock that tests wind."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from difficulty.channels.trees import N_KINDS, TreeChannel
from difficulty.encoders.base import StaticEncoder, quantise_rows
from difficulty.errors import (
    EncoderNotFoundError,
    MissingExtraError,
    RecipeError,
    RunError,
    TooFewSamplesError,
)
from difficulty.model.labelled import LabelledTokens
from difficulty.recipe import parse_recipe
from difficulty.stages.ingest import ingest
from difficulty.stages.train import train
from difficulty.traffic.outcomes import Outcomes
from difficulty.traffic.table import Traffic
from difficulty.training.assemble import build_model, known_tasks
from difficulty.training.material import check_start
from difficulty.training.run import Run
from difficulty.training.search import search
from tests.fakes import labelled_tokens, with_tasks
from tests.journey import RECIPE, recipe_of, sample_rows, write_rows

SEARCH = {"folds": 3, "ngram_strengths": [], "embedding_strengths": [], "neighbour_sharpness": []}


class Clock:
    """Seconds that pass when told, and by ``step`` at every look."""

    def __init__(self, step=0.0):
        self.now, self.step = 0.0, step

    def __call__(self):
        """Return the time."""
        self.now += self.step
        return self.now


def taking(seconds, clock, function):
    """Return a function that takes so long."""

    def slow(*given):
        clock.now += seconds
        return function(*given)

    return slow


def recipe_with(**settings):
    """Return a recipe with a small search over the small features."""
    features = {"encoder": "own", "ngrams": {"buckets": 512}, "embedding": {"strength": 0.1}}
    return parse_recipe(
        {"name": "auto", "folds": 2, "features": features, "search": SEARCH | settings},
        name="auto.toml",
    )


def random_encoder(*, words=200, seed=0, alike=False):
    """Return an encoder with a random vector for each token, or the same for all."""
    vectors = np.random.default_rng(seed).normal(size=(words, 4))
    table, scale = quantise_rows(np.ones_like(vectors) if alike else vectors)
    return StaticEncoder(
        table=table, scale=scale, tokenizer_path=Path("tokenizer.json"), digest=f"seed {seed}"
    )


def searched(data, *, encoder=None, recipe=None, target="benefit", **choices):
    """Search with some fit samples; the clock stands still unless another is given."""
    return search(
        recipe or recipe_with(),
        encoder or random_encoder(),
        read=lambda _: data,
        target=target,
        **{
            "clock": Clock(),
            "build": lambda recipe, encoder, fit: build_model(
                recipe, encoder, target, tasks=known_tasks(recipe, fit)
            ),
        }
        | choices,
    )


def traffic_of(p_fails, ids, *, seed=0):
    """Return requests whose cheap model fails with the given chances, and whose frontier model
    never does.
    """
    n = len(ids)
    cheap = (np.random.default_rng(seed).random(n) > p_fails).astype(float)
    outcomes = Outcomes(
        cheap_quality=cheap,
        frontier_quality=np.ones(n),
        preferred_gain=np.full(n, np.nan),
        weight=np.ones(n),
    )
    return LabelledTokens(ids=ids, outcomes=outcomes, groups=[f"g{number}" for number in range(n)])


def where_only_words_help(n=600):
    """One of 40 words in each request decides, and all words have the same vector."""
    rng = np.random.default_rng(1)
    words = rng.integers(0, 40, n)
    ids = [[int(word), *rng.integers(40, 200, 3).tolist()] for word in words]
    return traffic_of(np.where(rng.permutation(40) % 2 == 0, 0.1, 0.8)[words], ids), random_encoder(
        alike=True
    )


def where_only_embeddings_help(n=600):
    """Every word is new, but its vector's first number decides."""
    rng = np.random.default_rng(1)
    encoder = random_encoder(words=4 * n)
    ids = [row.tolist() for row in rng.permutation(4 * n).reshape(n, 4)]
    return traffic_of(np.where(encoder.encode(ids)[:, 0] > 0, 0.8, 0.1), ids), encoder


def where_only_tasks_help(n=600):
    """The task decides, and the words say nothing of it."""
    return with_tasks(labelled_tokens(n), seed=2), random_encoder()


@pytest.mark.parametrize(
    ("made", "features"),
    [
        (where_only_words_help, ["ngrams"]),
        (where_only_embeddings_help, ["embedding"]),
        (where_only_tasks_help, ["ngrams", "tasks"]),
    ],
)
def test_search_picks_the_features_that_help(made, features):
    data, encoder = made()
    found = searched(data, encoder=encoder)
    (chosen,) = [entry for entry in found.report.tried if entry.chosen]
    assert (chosen.features, chosen.name) == (tuple(features), found.report.chosen)
    assert chosen.value > 0.6
    assert {
        name for name in ("ngrams", "embedding", "tasks") if getattr(found.recipe.features, name)
    } == {*features}


def test_search_judges_a_task_both_told_and_untold():
    report = searched(with_tasks(labelled_tokens(600), seed=2)).report
    by_name = {entry.name: entry for entry in report.tried}
    told = by_name["ngrams + tasks"]
    assert told.with_task > told.without_task + 0.1
    assert told.value == pytest.approx((told.with_task + told.without_task) / 2)
    assert by_name["ngrams"].with_task == by_name["ngrams"].without_task == by_name["ngrams"].value
    assert by_name["ngrams"].value == pytest.approx(told.without_task)


def test_search_is_the_same_with_the_same_seed():
    """With other folds the figures differ."""
    data, recipe = labelled_tokens(400), recipe_with(ngram_strengths=[0.1])
    one, again = (searched(data, recipe=recipe) for _ in range(2))
    assert (one.recipe, one.report) == (again.recipe, again.report)
    other = searched(data, recipe=replace(recipe, seed=1)).report
    assert [entry.value for entry in other.tried] != [entry.value for entry in one.report.tried]


def test_search_for_failure_is_by_auroc_and_needs_no_frontier_outcome():
    report = searched(labelled_tokens(600, frontier=False), target="failure").report
    assert report.figure == "auroc"
    assert max(entry.value for entry in report.tried) > 0.55


def test_search_tries_all_with_the_recipes_own_settings_first():
    steps = []
    searched(labelled_tokens(200), recipe=recipe_with(ngram_strengths=[0.1]), progress=steps.append)
    assert steps == [
        "candidate 1 of 5: ngrams",
        "candidate 2 of 5: embedding",
        "candidate 3 of 5: ngrams + embedding",
        "candidate 4 of 5: ngrams, ngrams.strength 0.1",
        "candidate 5 of 5: ngrams + embedding, ngrams.strength 0.1",
    ]


def test_search_without_time_tries_the_simplest_alone_and_names_the_rest():
    found = searched(labelled_tokens(200), recipe=recipe_with(minutes=0.01), clock=Clock(step=1.0))
    assert [entry.name for entry in found.report.tried] == ["ngrams"] == [found.report.chosen]
    assert list(found.report.untried) == ["embedding", "ngrams + embedding"]
    assert found.recipe.features.embedding is False


def test_search_begins_nothing_that_is_not_expected_to_be_done_in_time():
    """N-grams take 100 of 240 s and embeddings 10: a third kind of n-grams is left out, what comes
    after it and is faster is not.
    """
    clock, data = Clock(), labelled_tokens(200)

    def build(recipe, encoder, fit):
        model = build_model(recipe, encoder, "benefit")
        for channel in model.channels:
            channel.prepare = taking(
                100.0 if channel.name == "ngrams" else 10.0, clock, channel.prepare
            )
        return model

    recipe = recipe_with(minutes=4, ngram_strengths=[0.1, 1.0], embedding_strengths=[0.01])
    report = searched(data, recipe=recipe, build=build, clock=clock).report
    assert list(report.untried) == [
        "ngrams, ngrams.strength 1.0",
        "ngrams + embedding, ngrams.strength 1.0",
    ]
    assert len(report.tried) == 7
    assert report.seconds == 220


def test_search_tries_further_encoders_and_returns_the_chosen_one():
    """Of two encoders only the second, which the recipe calls slower, has the vectors that
    decide.
    """
    data, good = where_only_embeddings_help()
    found = searched(
        data,
        encoder=random_encoder(words=2400, seed=9),
        recipe=recipe_with(encoders=["better"]),
        find=lambda _: good,
    )
    assert found.report.chosen == "embedding, encoder better"
    assert found.encoder is good
    assert found.recipe.features.encoder == "better"


def test_search_leaves_an_encoder_out_that_would_embed_for_too_long():
    """It is asked for some requests first, and these take 1 s each."""
    clock, data, encoder = Clock(), labelled_tokens(200), random_encoder()

    class SlowEncoder(StaticEncoder):
        """Takes 1 s a request."""

        def encode(self, ids):
            """Return embeddings, late."""
            clock.now += len(ids)
            return super().encode(ids)

    slow = SlowEncoder(
        table=encoder.table,
        scale=encoder.scale,
        tokenizer_path=encoder.tokenizer_path,
        digest="slow",
    )
    report = searched(
        data,
        encoder=encoder,
        recipe=recipe_with(minutes=1, encoders=["slow"]),
        find=lambda _: slow,
        clock=clock,
    ).report
    assert list(report.untried) == ["embedding, encoder slow", "ngrams + embedding, encoder slow"]
    assert report.seconds < 60


@pytest.mark.parametrize("kind", [MissingExtraError, EncoderNotFoundError])
def test_encoder_that_cannot_be_had_is_not_tried_and_said_so(kind):
    """As of the shipped recipe where its extra is not installed."""
    error = (
        MissingExtraError("converting an encoder", package="torch", extra="encoders")
        if kind is MissingExtraError
        else EncoderNotFoundError("no encoder at './nowhere'.")
    )

    def find(features):
        raise error

    found = searched(labelled_tokens(300), recipe=recipe_with(encoders=["slow"]), find=find).report
    assert found.missing == (f"slow: {error}",)
    assert not any("slow" in name for name in (*found.untried, *(one.name for one in found.tried)))
    assert found.compared is None


def test_search_tries_trees_beside_tasks():
    """What is added to a task's mean gain is judged alone there: nobody grew the trees before."""
    form = {
        "name": "auto",
        "folds": 2,
        "features": {
            "encoder": "own",
            "ngrams": {"buckets": 512},
            "embedding": {"strength": 0.1},
            "trees": {"components": 2},
        },
        "search": SEARCH,
    }
    data, encoder = where_only_tasks_help()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TreeChannel, "_kinds", np.zeros((200, N_KINDS), np.int8))
        report = searched(data, encoder=encoder, recipe=parse_recipe(form, name="auto.toml")).report
    assert any("trees" in entry.name and "tasks" in entry.name for entry in report.tried)


def test_search_says_how_accurate_does_beside_fast():
    """What each of them reads, on the same folds and draws."""
    form = {
        "name": "auto",
        "folds": 2,
        "features": {
            "encoder": "own",
            "ngrams": {"buckets": 512},
            "embedding": {"strength": 0.1},
            "trees": {"components": 2},
        },
        "search": SEARCH | {"encoders": ["better"], "neighbour_sharpness": [10.0]},
    }
    data, better = where_only_embeddings_help()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TreeChannel, "_kinds", np.zeros((better.vocabulary_size, N_KINDS), np.int8))
        report = searched(
            data,
            encoder=random_encoder(words=better.vocabulary_size, alike=True),
            recipe=parse_recipe(form, name="auto.toml"),
            find=lambda features: better,
        ).report
    by_name = {entry.name: entry for entry in report.tried}
    fast = by_name["ngrams + embedding + trees"].value
    accurate = by_name["ngrams + embedding + neighbours + trees, encoder better"].value
    compared = report.compared
    assert (compared.first, compared.second) == ("fast", "accurate")
    assert (compared.first_value, compared.second_value) == (fast, accurate)
    assert compared.ahead == pytest.approx(accurate - fast)
    assert compared.ahead > 3 * compared.standard_error > 0


def test_search_needs_a_way_to_find_further_encoders():
    with pytest.raises(
        RecipeError, match="search.encoders needs a way to find encoders: got none for other"
    ):
        searched(labelled_tokens(200), recipe=recipe_with(encoders=["other"]))


def test_search_refuses_fit_samples_without_a_gap():
    data = labelled_tokens(200)
    same = replace(
        data, outcomes=replace(data.outcomes, frontier_quality=data.outcomes.cheap_quality)
    )
    with pytest.raises(TooFewSamplesError, match="a search cannot judge by these fit samples"):
        searched(same)


AUTO = {
    "search": {**SEARCH, "neighbour_sharpness": [10.0]},
    "features": {**RECIPE["features"], "embedding": False},
}


@pytest.fixture(scope="module")
def auto_run(journey, tmp_path_factory):
    """A run whose features were searched for."""
    run, _ = trained(journey.traffic, tmp_path_factory.mktemp("auto") / "run", journey.encoder)
    return run


def trained(traffic, out, folder):
    recipe, encoder = recipe_of(folder, name="auto", **AUTO), StaticEncoder.load(folder)
    return train(
        traffic, out, recipe=recipe, encoder=encoder, more_labels=False, unseen_tasks=False, draws=5
    )


def test_training_keeps_the_chosen_recipe_and_the_report(auto_run):
    """The run reads like any other: its recipe searches no more."""
    report = json.loads((auto_run.folder / "run.json").read_text())["search"]
    assert [entry["name"] for entry in report["tried"]] == ["ngrams", "ngrams + tasks"]
    assert (auto_run.recipe.name, auto_run.recipe.search) == ("auto", False)
    assert bool(auto_run.recipe.features.tasks) == (report["chosen"] == "ngrams + tasks")
    assert (report["figure"], report["folds"], report["seed"], report["untried"]) == (
        "apgr",
        3,
        0,
        [],
    )
    assert report["samples"] == auto_run.record.samples.fit
    assert all(entry["low"] < entry["value"] < entry["high"] for entry in report["tried"])
    assert "optimistic" in report["note"]
    assert {channel.name for channel in Run.read(auto_run.folder).model.all_channels} >= {"ngrams"}


def test_training_without_a_search_says_so(journey):
    assert Run.read(journey.run).record.search is None


def test_search_sees_no_calibration_or_test_outcome(auto_run, journey, tmp_path):
    """Dealt out anew among those samples, they change the run's figures and nothing of the
    search.
    """
    whole = Traffic.read(journey.traffic)
    splits = whole.splits(auto_run.recipe.split.fractions, auto_run.recipe.seed)
    fit = {name for name, split in zip(whole.ids, splits, strict=True) if split == "fit"}
    rows = sample_rows()
    others = [row for row in rows if row["id"] not in fit]
    names = ("cheap_quality", "frontier_quality")
    dealt = [[row[name] for name in names] for row in others]
    for row, values in zip(others, reversed(dealt), strict=True):
        row.update(zip(names, values, strict=True))
    ingest([write_rows(tmp_path / "rows.jsonl", rows)], tmp_path / "traffic.parquet")
    run, evaluation = trained(tmp_path / "traffic.parquet", tmp_path / "run", journey.encoder)
    assert (
        evaluation.overall["apgr"].value
        != json.loads((auto_run.folder / "metrics.json").read_text())["overall"]["apgr"]["value"]
    )
    assert without_seconds(run.record.search) == without_seconds(auto_run.record.search)


def without_seconds(report):
    return replace(
        report, seconds=0.0, tried=tuple(replace(entry, seconds=0.0) for entry in report.tried)
    )


def test_a_warm_start_does_not_search(auto_run):
    with pytest.raises(RunError, match="a warm start keeps the features of the run"):
        check_start(auto_run, recipe_with(), auto_run.encoder)


@pytest.mark.parametrize(
    "section", [{"distil": {}}, {"features": {"embedding": False, "finetune": {}}}]
)
def test_recipe_searches_alone(section):
    with pytest.raises(RecipeError, match="search without features.finetune"):
        parse_recipe({"name": "auto", "search": {}, **section}, name="auto.toml")
