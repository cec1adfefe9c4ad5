"""``import difficulty`` at a prompt: the calls that people make, with what they have in hand."""

import json
import pickle
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import datasets
import matplotlib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import difficulty as d
from difficulty.errors import (
    DifficultyError,
    InvalidValueError,
    OutputExistsError,
    TooFewSamplesError,
    UnknownNameError,
)
from difficulty.metrics import Resampling
from difficulty.recipe import Recipe
from difficulty.stages.evaluate import evaluate_scorer
from difficulty.stages.ingest import ingest
from docs.generate_python import ORDER, PAGE, cells, python_page
from tests.conftest import REPOSITORY
from tests.journey import sample_rows, write_rows

matplotlib.use("Agg")
MOST = 200
"""Characters of a ``repr``."""
QUICK = {"draws": 40}


@pytest.fixture(scope="module")
def walked(journey, tmp_path_factory):
    """The notebook, run cell by cell with a recipe that trains in half a second."""
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "calls.jsonl").write_bytes(journey.source.read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield SimpleNamespace(
            **run_notebook(
                lambda code: (
                    code.replace(
                        'recipe="fast"',
                        f'"{journey.recipe_file}", more_labels=False, unseen_tasks=False, draws=40',
                    )
                    .replace("(judge)", "(judge, draws=40)")
                    .replace('"share=0.3"', '"share=0.3", draws=40')
                )
            ),
            folder=folder,
        )


def run_notebook(change=lambda code: code):
    """Run the cells of the notebook here and return their names."""
    names = {}
    for kind, code in cells():
        if kind == "code":
            exec(compile(change(code), "notebook", "exec"), names)
    return {name: value for name, value in names.items() if not name.startswith("__")}


@pytest.mark.slow
def test_notebook_runs_as_it_stands(journey, tmp_path, monkeypatch):
    (tmp_path / "calls.jsonl").write_bytes(journey.source.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert run_notebook()["evaluation"].overall["apgr"].value > 0.5


def test_notebook_leads_to_a_router(walked):
    assert walked.router.decide("Reply in one word.").route in ("cheap", "frontier")
    assert walked.evaluation.threshold is not None
    assert walked.evaluation.counts["requests"] <= len(walked.judge)


def test_page_is_what_the_code_says():
    """Run ``python docs/generate_python.py`` where it is not."""
    assert PAGE.read_text(encoding="utf-8") == python_page()


def test_page_and_changelog_name_everything_public():
    public = {*d.__all__} - {"__version__", "errors", "sklearn"}
    assert {*ORDER} == public
    promised = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert [name for name in public if f"`{name}`" not in promised] == []


def rows_without(*names):
    return [
        {name: value for name, value in row.items() if name not in names} for row in sample_rows(60)
    ]


KINDS = {
    "pandas": pd.DataFrame,
    "polars": lambda rows: pl.DataFrame(rows, infer_schema_length=None),
    "dataset": datasets.Dataset.from_list,
    "dataset dict": lambda rows: datasets.DatasetDict(
        {"a": datasets.Dataset.from_list(rows[:30]), "b": datasets.Dataset.from_list(rows[30:])}
    ),
    "iterable dataset": lambda rows: datasets.Dataset.from_list(rows).to_iterable_dataset(),
    "arrow": lambda rows: pa.Table.from_pylist(rows),
    "batches": lambda rows: pa.Table.from_pylist(rows).to_reader(),
    "list": list,
    "generator": iter,
}


@pytest.mark.parametrize("kind", KINDS)
def test_read_takes_what_people_have(kind):
    """The same rows give the same traffic, whatever held them."""
    rows = rows_without("preference", "cheap_passed")
    read = d.read(KINDS[kind](rows))
    assert read.rows.data_hash == d.read(rows).rows.data_hash
    assert len(read) == 60


def test_read_takes_a_frame_with_gaps_an_index_and_mixed_cells():
    rows = rows_without()[:3]
    frame = pd.DataFrame(
        {
            "prompt": ["one", "two", "three"],
            "cheap_quality": [1.0, np.nan, 0.0],
            "note": [1, "text", {"a": 2}],  # no column of Arrow's
        },
        index=["x", "y", "z"],
    )
    traffic = d.read(frame)
    assert np.isnan(traffic.rows.outcomes.cheap_quality).tolist() == [False, True, False]
    assert "index" not in traffic.to_frame()
    assert len(d.read(rows)) == 3


def test_read_maps_columns_and_scales():
    rows = [{"question": f"What is {n}?", "cheap_quality": 1 + n % 5} for n in range(10)]
    traffic = d.read(rows, columns={"prompt": "question"}, scale=(1, 5))
    assert traffic.rows.outcomes.cheap_quality.tolist() == [n % 5 / 4 for n in range(10)]


@pytest.mark.parametrize("data", [3, None, {"a": 1}, ["a", 1], [1, 2], b"rows"])
def test_read_says_what_it_takes(data):
    with pytest.raises(InvalidValueError, match="data must be a path, a frame"):
        d.read(data)


def test_read_refuses_an_option_that_it_does_not_have():
    with pytest.raises(InvalidValueError, match="an option must be one of allow_rejects"):
        d.ingest([], "t.parquet", label="x")


def test_read_opens_ingested_traffic_where_it_lies(journey):
    traffic = d.read(str(journey.traffic))
    assert traffic.path == journey.traffic
    assert len(traffic) == 800


def test_paths_may_be_urls(journey, tmp_path):
    assert len(d.read(f"file://{journey.source}")) == 800
    assert d.Bundle(f"file://{journey.bundle}").evaluation.threshold is not None
    assert d.Run(f"file://{journey.run}").details.recipe.name == "small"
    d.ingest(journey.source, f"file://{tmp_path}/out.parquet")
    assert len(d.read(tmp_path / "out.parquet")) == 800


def test_traffic_becomes_a_frame_and_comes_back(journey):
    traffic = d.read(journey.traffic)
    frame = traffic.to_frame()
    assert list(frame["id"]) == traffic.rows.ids
    assert d.read(frame).rows.data_hash == traffic.rows.data_hash


def test_traffic_is_saved_with_its_rejects(tmp_path):
    rows = [*sample_rows(30), {"prompt": "x", "cheap_quality": 7}]
    traffic = d.read(rows).save(str(tmp_path / "kept" / "t.parquet"))
    assert [reject["reason"].partition(":")[0] for reject in traffic.rejects] == [
        "cheap_quality must be in [0, 1] or null"
    ]
    assert "rejected rows" in traffic._repr_html_()
    assert "1 row rejected, see .rejects" in repr(traffic)
    with pytest.raises(InvalidValueError, match="parts must name each part with its share"):
        traffic.split(0.8)
    with pytest.raises(OutputExistsError):
        d.read(rows).save(traffic.path)
    with pytest.raises(InvalidValueError, match=r"end in \.parquet"):
        traffic.save(tmp_path / "t.csv")


def test_parts_of_traffic_share_nothing(walked):
    train, judge = walked.train.rows, walked.judge.rows
    assert not {*train.split_groups} & {*judge.split_groups}
    assert len(train) > len(judge) > 0
    assert re.match(r"Traffic\(\d+ requests, cheap_quality of \d+", repr(walked.judge))


# The twenty-two calls that were tried on people's first day.


def test_frames_as_files(tmp_path):
    frame = pd.DataFrame(rows_without())
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_json(tmp_path / "b.jsonl", orient="records", lines=True)
    hashes = {d.read(tmp_path / name).rows.data_hash for name in ("a.parquet", "b.jsonl")}
    assert len(hashes) == 1


def test_ingest_takes_paths_texts_lists_and_frames(tmp_path):
    rows = sample_rows(40)
    path = write_rows(tmp_path / "a.jsonl", rows)
    kept = [
        ingest([str(path)], str(tmp_path / "0.parquet")).kept,
        d.ingest([path], tmp_path / "1.parquet").kept,
        d.ingest(str(path), str(tmp_path / "2.parquet")).kept,
        d.ingest([str(path)], str(tmp_path / "3.parquet")).kept,
        d.ingest(pd.DataFrame(rows), str(tmp_path / "4.parquet")).kept,
    ]
    assert kept == [40] * 5


def test_traffic_from_and_to_pandas():
    frame = pd.DataFrame(rows_without())
    traffic = d.Traffic.from_pandas(frame)
    assert traffic.to_pandas().equals(traffic.to_frame())
    assert len(d.Traffic.from_polars(pl.from_pandas(frame[["id", "messages"]]))) == 60
    assert len(d.Traffic.from_arrow(pa.Table.from_pandas(frame))) == 60
    assert len(d.Traffic.from_records(rows_without())) == 60


@pytest.mark.slow
def test_train_takes_a_path_as_text_and_a_recipe_by_name(journey, tmp_path):
    changes = {"features": {"encoder": str(journey.encoder), "ngrams": {"buckets": 64}}}
    run = d.train(
        str(journey.traffic),
        {"folds": 2, "answer": False, **changes},
        tmp_path / "run",
        more_labels=False,
        unseen_tasks=False,
        **QUICK,
    )
    assert run.details.recipe.name == "own"
    assert d.Run.read(str(tmp_path / "run")).evaluation == run.evaluation
    assert isinstance(d.Run(run.save(tmp_path / "kept").folder).details.recipe, Recipe)
    with pytest.raises(DifficultyError, match=r"unknown recipe 'fats'\. Known: accurate"):
        d.train(journey.traffic, recipe="fats")


def test_ship_evaluate_and_load_take_texts(journey, walked):
    router = d.Router.load(str(journey.bundle))
    assert router.decide("hello").model
    assert d.Router(journey.bundle).decide("hello") == router.decide("hello")
    assert repr(router) == f"Router({router.version})"
    judged = evaluate_scorer(
        str(journey.bundle),
        str(journey.traffic),
        str(walked.folder / "judged"),
        resampling=Resampling(20, 0),
    )
    assert judged.evaluation.overall["apgr"].value is not None
    evaluation = d.evaluate(str(journey.bundle), str(journey.traffic), walked.folder / "x", **QUICK)
    assert evaluation.counts == judged.evaluation.counts
    assert (walked.folder / "x" / "report.html").is_file()


def test_model_predicts_texts(walked):
    fails = walked.run.model.predict_proba(["text", "Plan a move in four phases."])
    assert fails.shape == (2, 2)
    assert fails.sum(axis=1) == pytest.approx([1.0, 1.0])
    assert walked.run.model.predict(["text"]).tolist() in ([False], [True])
    score = walked.run.model.difficulty_score(["text"], tasks=["classify"])
    assert score[0] == pytest.approx(
        walked.bundle.router.decide("text", task=None).difficulty_score or score[0], abs=1.0
    )


def test_a_run_predicts_scores_and_draws_itself(walked):
    """The same numbers as its model's, for texts, conversations, frames and traffic."""
    run, texts = walked.run, ["text", "Plan a move in four phases."]
    assert run.predict_proba(texts) == pytest.approx(run.model.predict_proba(texts))
    ours = run.score(texts)
    assert ours == pytest.approx(run.model.difficulty_score(texts))
    messages = [[{"role": "user", "content": text}] for text in texts]
    assert run.score(messages) == pytest.approx(ours)
    frame = pd.DataFrame({"id": ["a", "b"], "prompt": texts})
    assert run.score(frame) == pytest.approx(ours)
    scores = run.score(walked.judge)
    assert scores.shape == (len(walked.judge),)
    assert ((scores > 0.0) & (scores < 1.0)).all()
    assert type(run.plot()).__name__ == "CostQualityDisplay"


def test_errors_name_arguments_and_not_options(journey, tmp_path):
    with pytest.raises(DifficultyError, match="pass teacher=RUN"):
        d.train(journey.traffic, "distilled")
    with pytest.raises(InvalidValueError, match="draws must be 40 or more: got 1"):
        d.evaluate(journey.bundle, journey.traffic, draws=1)


def test_score_of_the_run_is_the_bundles(walked):
    texts = ["Reply in one sentence: what is a purchase order?", "Compare three carriers."]
    ours = walked.run.model.difficulty_score(texts)
    theirs = [walked.bundle.router.scorer.score(text).difficulty_score for text in texts]
    assert ours == pytest.approx(theirs, abs=1e-4)


def test_thresholds_are_chosen_again(walked):
    chosen = d.thresholds(
        walked.bundle, walked.judge, walked.folder / "bundles" / "support-2", "share=0.5", **QUICK
    )
    assert chosen.policy.chosen.objective == "share=0.5"
    assert chosen.verify().passed
    again = walked.bundle.thresholds(
        walked.judge, walked.folder / "b" / "x-1", "share=0.2", **QUICK
    )
    assert again.details.label == "x-1"


def test_thresholds_is_a_room_and_a_function():
    """In a package a module and a function of one name have one place."""
    from difficulty.thresholds import OBJECTIVES, point

    assert d.thresholds.point is point
    assert d.thresholds.OBJECTIVES is OBJECTIVES
    assert callable(d.thresholds)


def test_run_judges_its_test_samples_again(walked, tmp_path):
    assert walked.run.evaluate() == walked.run.evaluation
    own = walked.run.evaluate(out=tmp_path / "own", **QUICK)
    assert own.overall["apgr"].value == pytest.approx(walked.run.evaluation.overall["apgr"].value)


def test_money_is_reckoned_with_a_price_list_as_text(walked):
    prices = str(REPOSITORY / "data" / "prices.example.toml")
    evaluation = walked.bundle.evaluate(
        walked.judge, prices=prices, requests_per_month=2_000_000, **QUICK
    )
    assert evaluation.verdict.money is not None
    with pytest.raises(InvalidValueError, match="prices must be the path of a price list"):
        walked.bundle.evaluate(walked.judge, prices=evaluation_prices(prices), **QUICK)


def evaluation_prices(path):
    from difficulty.economics import load_prices

    return load_prices(Path(path))


@pytest.mark.slow
def test_shipping_changes_the_policy_and_refuses_unknown_words(walked, tmp_path):
    shipped = walked.run.ship(
        str(tmp_path / "new" / "own-2"),
        "share=0.4",
        policy={"easy_tasks": [], "hard_tasks": [], "max_cheap_tokens": 9},
        answer="off",
        **QUICK,
    )
    assert shipped.policy.max_cheap_tokens == 9
    with pytest.raises(UnknownNameError, match="unknown answer 'no'"):
        walked.run.ship(tmp_path / "own-3", answer="no")
    with pytest.raises(DifficultyError, match="policy"):
        walked.run.ship(tmp_path / "own-3", policy={"easy": []})


def test_label_hands_its_step_what_was_given(tmp_path, monkeypatch):
    """What the step does is tested with it."""
    given = {}

    def buy(path, out, options, **others):
        given.update(others, rows=len(pd.read_parquet(path)), out=out, options=options)

    monkeypatch.setattr("difficulty.stages.labelling.label.label", buy)
    rows = [{"prompt": f"Question {n} of many: what is {n} squared?"} for n in range(30)]
    models = {"cheap": "openai/small", "frontier": "openai/large", "judge": "exact"}
    d.label(rows, str(tmp_path / "labelled.parquet"), **models, budget_usd=5, seed=3)
    assert given["rows"] == 30
    assert given["spend"] is False
    assert given["options"].seed == 3


def shown(walked):
    """Return every kind of result that people see at a prompt."""
    decision = walked.router.decide("Reply in one word.")
    return {
        "traffic": walked.traffic,
        "run": walked.run,
        "bundle": walked.bundle,
        "evaluation": walked.evaluation,
        "trained": walked.run.evaluation,
        "decision": decision,
        "summary": d.ingest(sample_rows(20), walked.folder / "shown.parquet", overwrite=True),
        "verification": walked.bundle.verify().bundle,
        "verdict": walked.evaluation.verdict,
        "curve": walked.evaluation.plot(),
        "bins": walked.evaluation.plot("calibration"),
        "bars": walked.evaluation.plot("scores"),
    }


def test_results_show_themselves_in_a_line(walked):
    told = {name: repr(result) for name, result in shown(walked).items()}
    assert {name: text for name, text in told.items() if len(text) > MOST or "\n" in text} == {}
    assert "20 rows" in told["summary"] or "rows=20" in told["summary"]
    assert re.match(r"Evaluation\(\d+ requests, target \w+, frontier_share", told["evaluation"])


def test_results_show_themselves_in_a_notebook(walked):
    for result in (walked.traffic, walked.run, walked.bundle, walked.evaluation):
        page = result._repr_html_()
        assert page.startswith("<div>")
        assert "<script" not in page
        assert 100 < len(page) < 10_000


def test_summary_escapes_what_users_name(walked):
    """A model's name is whatever the log says."""
    from dataclasses import replace

    noted = replace(walked.evaluation, notes=("<script>alert(1)</script>",), findings=())
    assert "&lt;script&gt;" in noted._repr_html_()
    assert "<script" not in noted._repr_html_()


@pytest.mark.parametrize(
    ("part", "columns"),
    [
        ("overall", {"value", "low", "high", "n", "note"}),
        ("slices", {"kind", "slice", "figure", "value"}),
        ("baselines", {"baseline", "figure", "value"}),
        ("curve", {"threshold", "quality", "quality_low", "frontier_share"}),
        ("calibration", {"probability", "predicted", "value"}),
    ],
)
def test_evaluation_becomes_a_frame(walked, part, columns):
    frame = walked.evaluation.to_frame(part)
    assert columns <= {*frame.columns}
    assert len(frame)


def test_frame_has_the_figures(walked):
    apgr = walked.evaluation.overall["apgr"]
    assert walked.evaluation.to_pandas().loc["apgr", "value"] == apgr.value
    with pytest.raises(UnknownNameError, match="unknown part of an evaluation 'all'"):
        walked.evaluation.to_frame("all")


def test_evaluation_has_no_picture_of_another_name(walked):
    with pytest.raises(UnknownNameError, match=r"unknown picture .* Known: calibration, cost"):
        walked.evaluation.plot("roc")


def test_unknown_name_is_no_attribute():
    with pytest.raises(AttributeError, match="no attribute 'predict'"):
        d.predict  # noqa: B018
    assert {*d.__all__} <= {*dir(d)}


def test_too_little_traffic_is_said(journey):
    rows = sample_rows(30)
    recipe = {"features": {"encoder": str(journey.encoder)}}
    with pytest.raises(TooFewSamplesError, match="training needs"):
        d.train(rows, recipe)


def test_python_m_difficulty_is_the_command():
    run = [sys.executable, "-m", "difficulty", "--version"]
    told = subprocess.run(run, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert told.stdout.strip() == f"difficulty {d.__version__}"


def test_router_loads_what_a_router_needs(journey):
    """``d.Router`` brings nothing of the lab."""
    code = (
        f"import difficulty as d, sys; d.Router.load({str(journey.bundle)!r}).decide('hello');"
        "print(*sys.modules)"
    )
    run = [sys.executable, "-c", code]
    loaded = subprocess.run(run, capture_output=True, text=True, check=True, cwd=REPOSITORY).stdout
    heavy = {"sklearn", "scipy", "pandas", "pyarrow", "torch", "matplotlib", "mlflow", "typer"}
    assert {*loaded.split()} & heavy == set()


def test_fitted_model_survives_a_pickle(walked):
    model = walked.run.model
    again = pickle.loads(pickle.dumps(model))
    assert again.predict_proba(["text"]) == pytest.approx(model.predict_proba(["text"]))


def test_notes_of_the_journey_are_json(walked):
    json.dumps(walked.evaluation.as_dict())
