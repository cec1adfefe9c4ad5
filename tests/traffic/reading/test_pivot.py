"""One row a call becomes one row a request."""

import json

import numpy as np
import pytest

from difficulty.errors import InvalidValueError, TrafficError
from difficulty.stages.ingest import ingest
from difficulty.traffic.reading import pivot as pivot_module
from difficulty.traffic.reading.dialect import ReadOptions
from difficulty.traffic.reading.mapping import PivotSection, read_mapping
from difficulty.traffic.reading.named_pair import ModelPair
from difficulty.traffic.table import Traffic

PIVOT = "request=trace,model=model,quality=score,answer=said,tokens=out,cost=usd,prompt_tokens=in"
PAIR = ModelPair(cheap=("small",), frontier=("big*",))


def call(trace, model, score, **more):
    return {
        "trace": trace,
        "model": model,
        "score": score,
        "prompt": f"Ask {trace}",
        "said": f"{model} says",
        "out": 5,
        "usd": 0.25,
        "in": 9,
        **more,
    }


def ingested(tmp_path, rows, pivot=PIVOT, pair=PAIR, **more):
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = ingest(
        [source],
        tmp_path / "t.parquet",
        mapping=read_mapping(None, (), [pivot]),
        options=ReadOptions(pair=pair),
        overwrite=True,
        **more,
    )
    figures = next(part for part in summary.labels if part["source"] == "pivot")
    assert summary.rows == summary.kept + sum(summary.rejected.values()) + summary.joined + sum(
        summary.left_out.values()
    )
    return Traffic.read(tmp_path / "t.parquet"), summary, figures


def column(traffic, name):
    return traffic._table[name].to_pylist()


def test_two_rows_a_request_become_one_by_hand(tmp_path):
    rows = [
        call("a", "small", 0),
        call("b", "big-2", 1),
        call("a", "big-1", 1),
        call("b", "small", 0.5),
    ]
    traffic, summary, figures = ingested(tmp_path, rows)
    assert traffic.ids == ["a", "b"]
    assert traffic.outcomes.cheap_quality.tolist() == [0.0, 0.5]
    assert traffic.outcomes.frontier_quality.tolist() == [1.0, 1.0]
    assert column(traffic, "frontier_model") == ["big-1", "big-2"]
    assert column(traffic, "cheap_answer") == ["small says"] * 2
    assert column(traffic, "frontier_tokens") == [5, 5]
    assert column(traffic, "prompt_tokens") == [9, 9]
    assert (figures["calls"], figures["requests"], figures["both_models"]) == (4, 2, 2)
    assert summary.joined == 2


def test_missing_halves_third_models_and_duplicates_are_counted(tmp_path):
    rows = [
        call("a", "small", 0),
        call("b", "small", 0),
        call("b", "small", 1),
        call("b", "other", 1),
        call("b", "big-1", 1),
        call("c", "big-1", 1),
        {**call("d", "small", 1), "trace": None},
        {**call("d", None, 1)},
    ]
    _, summary, figures = ingested(tmp_path, rows, allow_rejects=True)
    assert summary.kept == 3
    assert summary.left_out == {pivot_module.THIRD_MODEL: 1}
    assert summary.rejected == {
        "the request of a call must be named in column 'trace'": 1,
        "the model of a call must be named in the column of the models": 1,
    }
    assert {
        name: figures[name]
        for name in ("both_models", "cheap_alone", "frontier_alone", "duplicates", "other_models")
    } == {
        "both_models": 1,
        "cheap_alone": 1,
        "frontier_alone": 1,
        "duplicates": 1,
        "other_models": 1,
    }
    assert any("'other' (1)" in warning for warning in summary.warnings)


@pytest.mark.parametrize(("rule", "quality"), [("last", 1.0), ("first", 0.0), ("mean", 0.5)])
def test_the_rule_says_which_of_several_calls_counts(tmp_path, rule, quality):
    """A last call without an outcome, as a retry that was never judged, counts for none."""
    rows = [
        call("a", "small", 0),
        call("a", "small", 1),
        call("a", "small", None),
        call("a", "big", 1),
    ]
    traffic, _, _ = ingested(tmp_path, rows, f"{PIVOT},duplicates={rule}")
    assert traffic.outcomes.cheap_quality.tolist() == [quality]


def test_a_row_with_another_text_under_the_same_request_is_no_half(tmp_path):
    """A session is no request: labels of another text would be silently wrong."""
    rows = [call("a", "small", 0), {**call("a", "big", 1), "prompt": "Another"}]
    with pytest.raises(TrafficError, match="must hold the text of the request's first row"):
        ingested(tmp_path, rows)


def test_instructions_may_be_each_models_own(tmp_path):
    def with_system(model):
        messages = [
            {"role": "system", "content": f"You are {model}."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": f"{model}!"},
        ]
        return {"trace": "a", "model": model, "score": 1, "messages": messages}

    traffic, _, figures = ingested(
        tmp_path,
        [with_system("small"), with_system("big")],
        "request=trace,model=model,quality=score",
    )
    assert figures["both_models"] == 1
    assert column(traffic, "cheap_answer") == ["small!"]
    assert column(traffic, "frontier_answer") == ["big!"]
    assert [m["role"] for m in column(traffic, "messages")[0]] == ["system", "user"]


def test_other_columns_that_differ_are_kept_of_each_model(tmp_path):
    rows = [
        call("a", "small", 0, latency=1, region="eu"),
        call("a", "big", 1, latency=9, region="eu"),
    ]
    traffic, _, _ = ingested(tmp_path, rows)
    assert (
        json.loads(column(traffic, "extra")[0]).items()
        >= {"latency (cheap)": 1, "latency (frontier)": 9, "region": "eu"}.items()
    )


def test_without_a_request_each_row_is_its_own(tmp_path):
    rows = [call("a", "small", 0), call("a", "big", 1)]
    traffic, _, _ = ingested(tmp_path, rows, "model=model,quality=score")
    assert np.isnan(traffic.outcomes.cheap_quality).tolist() == [False, True]


def test_the_text_itself_may_be_the_request(tmp_path):
    traffic, _, _ = ingested(
        tmp_path,
        [call("a", "small", 0), call("a", "big", 1)],
        "request=prompt,model=model,quality=score",
    )
    assert column(traffic, "messages")[0][0]["content"] == "Ask a"
    assert len(traffic) == 1


def test_models_that_are_not_named_or_not_there_are_refused(tmp_path):
    rows = [call("a", "small", 0), call("a", "big-1", 1)]
    with pytest.raises(
        TrafficError, match=r"--cheap 'small' --frontier 'big-1' \(a guess, by their calls alone\)"
    ):
        ingested(tmp_path, rows, pair=ModelPair())
    with pytest.raises(
        TrafficError, match="must be of the frontier model 'bog-1': got none.*Nearest: 'big-1'"
    ):
        ingested(tmp_path, rows, pair=ModelPair(cheap=("small",), frontier=("bog-1",)))


@pytest.mark.parametrize(
    "text", ["model", "request=a", "model=m,modle=x", "model=m,duplicates=none"]
)
def test_a_pivot_that_is_not_written_so_is_refused(text):
    with pytest.raises(InvalidValueError, match="--pivot must"):
        PivotSection.parse_option([text])


def test_a_comma_in_a_column_is_part_of_its_name():
    section = PivotSection.parse_option(["model=Model, name,quality=score", "request=id"])
    assert (section.model, section.quality, section.request) == ("Model, name", "score", "id")


def test_what_is_laid_on_the_disk_comes_back_in_order(tmp_path, monkeypatch):
    """The same rows, in memory and by the disk, whatever the order of the halves."""
    monkeypatch.setattr(pivot_module, "_PART_IN_MEMORY", 100)
    rng = np.random.default_rng(0)
    rows = [
        call(f"r{n}", model, 1, note="caf\u00e9 \ud83d")
        for n in range(300)
        for model in ("small", "big")
    ]
    rows = [rows[n] for n in rng.permutation(len(rows))]
    traffic, _, figures = ingested(tmp_path, rows, near_duplicates=False)
    assert traffic.ids == list(dict.fromkeys(row["trace"] for row in rows))
    assert figures["both_models"] == 300
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_log_of_one_model_is_one_sided_and_not_two_pairs(tmp_path):
    """Which one was called differs from row to row; the pair is the same."""
    pair = ModelPair(cheap=("small",), frontier=("big",))
    rows = [call("a", "small", 0), call("b", "big", 1)]
    traffic, summary, figures = ingested(tmp_path, rows, pair=pair)
    assert (figures["cheap_alone"], figures["frontier_alone"]) == (1, 1)
    assert summary.model_pairs == {"small / big": 2}
    only = ModelPair(cheap=("small",))
    _, summary, figures = ingested(tmp_path, rows, pair=only)
    assert (figures["cheap_alone"], figures["other_models"]) == (1, 1)
    assert summary.model_pairs == {"small / ?": 1}
    assert not any("more than one pair" in warning for warning in summary.warnings)


def test_a_model_renamed_in_mid_file_is_told_until_both_names_are_given(tmp_path):
    rows = [call(f"r{n}", model, 1) for n in range(4) for model in ("small", f"big-{n // 2}")]
    pair = ModelPair(cheap=("small",), frontier=("big-0",))
    _, summary, figures = ingested(tmp_path, rows, pair=pair)
    assert (figures["both_models"], figures["cheap_alone"], figures["other_models"]) == (2, 2, 2)
    assert any("'big-1' (2)); of a model that was renamed" in text for text in summary.warnings)
    both = ModelPair(cheap=("small",), frontier=("big-0", "big-1"))
    assert ingested(tmp_path, rows, pair=both)[2]["both_models"] == 4
