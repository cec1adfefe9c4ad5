import pytest

from difficulty.errors import RecipeError
from difficulty.recipe import parse_recipe
from difficulty.training.candidates import candidates_of
from difficulty.training.shipped import find_recipe

SEARCH = {"ngram_strengths": [0.3, 1.0], "embedding_strengths": [], "neighbour_sharpness": [10.0]}


def names(*, tasks=True, features=None, **search):
    """Return the candidates' names for some changes of the recipe."""
    recipe = parse_recipe(
        {"name": "auto", "features": features or {}, "search": SEARCH | search}, name="auto.toml"
    )
    return [candidate.name for candidate in candidates_of(recipe, tasks=tasks)]


def test_candidates_go_from_simple_to_rich_and_change_one_setting_at_a_time():
    found = names()
    assert found[:6] == [
        "ngrams",
        "ngrams, ngrams.strength 1.0",
        "embedding",
        "ngrams + tasks",
        "ngrams + tasks, ngrams.strength 1.0",
        "ngrams + embedding",
    ]
    assert found[-2:] == [
        "ngrams + tasks + guess + embedding + neighbours",
        "ngrams + tasks + guess + embedding + neighbours, ngrams.strength 1.0",
    ]
    assert len(set(found)) == len(found) == 21


def test_candidates_leave_out_what_traffic_or_recipe_do_not_have():
    assert not any("tasks" in name or "guess" in name for name in names(tasks=False))
    assert not any("tasks" in name for name in names(features={"tasks": False}))
    assert not any("guess" in name for name in names(features={"tasks": {"guess": False}}))
    assert not any("neighbours" in name for name in names(neighbour_sharpness=[]))
    assert names(features={"embedding": False}, neighbour_sharpness=[]) == [
        "ngrams",
        "ngrams, ngrams.strength 1.0",
        "ngrams + tasks",
        "ngrams + tasks, ngrams.strength 1.0",
    ]
    assert names(features={"ngrams": False}) == ["embedding"]


def test_candidates_with_a_slower_encoder_come_last_and_read_it():
    found = names(encoders=["slow", "static-minilm-256"])
    slow = [name for name in found if "encoder slow" in name]
    assert found[-len(slow) :] == slow
    assert slow[0] == "embedding, encoder slow"


def test_candidate_is_the_recipe_with_its_features_and_no_search():
    form = {
        "name": "auto",
        "seed": 5,
        "search": SEARCH,
        "features": {"ngrams": {"buckets": 512}, "embedding": {"strength": 0.1}},
    }
    recipe = parse_recipe(form, name="auto.toml")
    by_name = {candidate.name: candidate.recipe for candidate in candidates_of(recipe, tasks=True)}
    guess = by_name["ngrams + tasks + guess, ngrams.strength 1.0"]
    assert (guess.name, guess.seed, guess.search) == ("auto", 5, False)
    assert (guess.features.ngrams.buckets, guess.features.ngrams.strength) == (512, 1.0)
    assert guess.features.tasks.guess
    assert not guess.features.embedding.beside_guess
    assert by_name["ngrams + tasks + guess + embedding"].features.embedding.beside_guess
    plain = by_name["ngrams + tasks + embedding"].features
    assert (plain.tasks.guess, plain.embedding.strength, plain.neighbours) == (False, 0.1, False)
    assert by_name["ngrams"].features.tasks is False
    assert by_name["ngrams + embedding + neighbours"].features.neighbours.sharpness == 10.0
    assert parse_recipe(guess.as_dict(), name="run.json") == guess


def test_trees_are_steps_of_their_own_where_the_recipe_has_them():
    found = names(features={"trees": {}})
    assert "ngrams + trees" in found
    assert "ngrams" in found
    assert found[-2] == "ngrams + tasks + guess + embedding + neighbours + trees"
    assert not any("trees" in name for name in names())


@pytest.mark.parametrize("tasks", [True, False])
def test_one_candidate_reads_what_fast_reads_and_one_what_accurate_reads(tasks):
    """Of the shipped recipe auto, whose settings are those of both."""
    candidates = candidates_of(find_recipe("auto"), tasks=tasks)
    for name in ("fast", "accurate"):
        (like,) = [each for each in candidates if each.is_like(name, tasks=tasks)]
        shipped, found = find_recipe(name), like.recipe
        assert found.features.encoder == shipped.features.encoder
        assert found.features.ngrams == shipped.features.ngrams
        assert found.features.trees == shipped.features.trees
        assert found.features.neighbours == shipped.features.neighbours
        assert found.export.max_score_difference == shipped.export.max_score_difference
        if tasks:
            assert found.features.tasks == shipped.features.tasks
            assert found.features.embedding.beside_guess == shipped.features.embedding.beside_guess


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"calibration": 0.2}, r"got 0\.2\. The share .* is calibration in the section \[split\]"),
        (
            {"split": {"calibration": "split"}},
            r"got 'split'\. calibration = \"split\", whether .* in",
        ),
        ({"policy": {"calibration": "cross"}}, r"stands above the first section .* it is no key"),
    ],
)
def test_two_keys_called_calibration_are_told_apart(section, said):
    """One is the share of the samples, the other whether heads learn from them."""
    with pytest.raises(RecipeError, match=said):
        parse_recipe({"name": "mine", **section}, name="mine.toml")
