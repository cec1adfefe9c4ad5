import json
import shlex

import pytest
from typer.testing import CliRunner

from difficulty.cli.app import build_app
from difficulty.errors import TrafficError
from difficulty.records import Prices
from difficulty.stages.labelling.first_look import look_at
from difficulty.traffic.reading.dialect import ReadOptions
from difficulty.traffic.reading.named_pair import ModelPair

PRICES = Prices(
    date="2026-11-01", cheap_input=1, cheap_output=2, frontier_input=10, frontier_output=20
)


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_unlabelled_requests_are_counted_and_priced(tmp_path):
    texts = ["What is a lien, in two words?", "Что такое залог?"]
    rows = [{"prompt": f"{texts[n % 4 == 0]} {n}", "prompt_tokens": 10} for n in range(400)]
    look = look_at(jsonl(tmp_path / "log.jsonl", rows), prices=PRICES)
    assert (look.format, look.rows, look.kept, look.labelled, look.both) == (
        "native", 400, 400, 0, 0
    )  # fmt: skip
    assert look.scripts == {"latin": 300, "cyrillic": 100}
    assert look.tokens == {"prompt": 10.0, "cheap": None, "frontier": None}
    # 300 requests, 10 tokens each, for 1 and for 10 USD a million.
    assert look.cost.usd == pytest.approx(300 * 10 * 11e-6)
    assert "input alone" in look.cost.basis
    assert look.missing[0] == "outcomes: nothing says how good an answer was"


def test_answers_of_one_model_stand_for_those_of_the_other_in_the_price(tmp_path):
    row = {"prompt_tokens": 10, "cheap_tokens": 100, "cheap_quality": 1}
    rows = [{"id": str(n), "prompt": f"Question {n}", **row} for n in range(50)]
    look = look_at(jsonl(tmp_path / "log.jsonl", rows), prices=PRICES)
    assert look.cost.requests == 50
    assert look.cost.usd == pytest.approx(50 * (10 * 11e-6 + 100 * 22e-6))
    assert "as long as" in look.cost.basis
    assert look.missing[0].startswith("outcomes of both models for one request: 50 say")


def test_a_table_of_other_names_is_read_by_the_proposed_mapping(tmp_path):
    lines = ["trace;llm;User text;score;tokens"]
    for n in range(120):
        lines += [f"t{n};small;A long enough question {n};0,{n % 10};7"]
        lines += [f"t{n};large;A long enough question {n};1,0;9"]
    path = tmp_path / "calls of may.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    pair = ReadOptions(pair=ModelPair(cheap=("small",), frontier=("large",)))
    look = look_at(path, pair)
    assert (look.mapped, look.rows, look.kept, look.both) == (True, 240, 120, 120)
    assert look.models == {"small": 120, "large": 120}
    assert look.cost is None  # every request is labelled
    assert "requests: all are labelled; bring more of the log" in look.missing
    assert not any("label" in command.split() for command in look.next_steps)
    assert look.instead == {}


def test_next_commands_are_real_and_do_what_was_seen(tmp_path, monkeypatch):
    pytest.importorskip("litellm", exc_type=ImportError)  # for the prices of label's plan
    monkeypatch.chdir(tmp_path)
    rows = [{"User text": f"A long enough question {n}", "Rating": n % 5 + 1} for n in range(60)]
    look = look_at(jsonl(tmp_path / "my log.jsonl", rows))
    models = {"CHEAP": "gpt-4o-mini", "FRONTIER": "gpt-4o", "MODEL": "gpt-4.1"}
    assert [command.split()[1] for command in look.next_steps[-2:]] == ["ingest", "label"]
    for command in (*look.next_steps, *look.instead.values()):
        words = shlex.split(command.replace("FEEDBACK", "feedback.jsonl"))[1:]
        words = [models.get(word, word) for word in words]
        into = words[words.index(">") + 1] if ">" in words else None
        if words[0] == "outcomes":
            jsonl(tmp_path / "feedback.jsonl", [{"id": "my log-1", "side": "cheap", "passed": 1}])
            words.append("--allow-rejects")
        done = CliRunner().invoke(build_app(), words[: words.index(">")] if into else words)
        assert done.exit_code == 0, (command, done.output, done.exception)
        if into:
            (tmp_path / into).write_text(done.stdout)
    assert {"mapping.toml", "traffic.parquet", "late.parquet", "proxy.yaml"} <= {
        path.name for path in tmp_path.iterdir()
    }


def test_a_log_of_calls_without_its_pair_says_which_models_it_names(tmp_path):
    row = {
        "request_id": "a",
        "model": "gpt-5",
        "call_type": "acompletion",
        "spend": 0.1,
        "startTime": "2026-11-01T00:00:00Z",
        "messages": [{"role": "user", "content": "Hi there"}],
        "response": {},
        "prompt_tokens": 3,
        "completion_tokens": 4,
    }
    path = jsonl(tmp_path / "spend.jsonl", [row, {**row, "request_id": "b", "model": "mini"}])
    look = look_at(path)
    assert look.format == "litellm"
    assert "'gpt-5'" in look.problem
    assert "'mini'" in look.problem
    assert look.next_steps[0].startswith("difficulty start")


def test_calls_of_other_models_are_counted_and_no_bill_is_not_zero(tmp_path):
    """One call of three is of the pair; what the frontier model was billed is unknown."""
    log = tmp_path / "log.jsonl"
    calls = [
        {
            "request_id": f"c-{i}",
            "call_type": "acompletion",
            "model": model,
            "spend": 0.01,
            "messages": [{"role": "user", "content": f"What is {i} times 7?"}],
            "response": {"choices": [{"message": {"role": "assistant", "content": "42"}}]},
        }
        for i, model in enumerate(("small", "large", "large"))
    ]
    log.write_text("".join(json.dumps(call) + "\n" for call in calls))
    look = look_at(log, ReadOptions(pair=ModelPair(cheap=("small",), frontier=("vast",))))
    assert (look.rows, look.kept, look.billed_usd) == (3, 1, {"cheap_cost_usd": 0.01})
    assert look.left_out == {"its model 'large' is neither --cheap nor --frontier": 2}


def test_ingest_of_outcomes_that_training_refuses_goes_on_with_labels(tmp_path, monkeypatch):
    """Ratings of the model that an unknown policy called are no labels to train on."""
    monkeypatch.chdir(tmp_path)
    call = {"id": "a", "prompt": "What is 6 times 7?", "cheap_quality": 1.0, "route": "cheap"}
    jsonl(tmp_path / "log.jsonl", [call, {**call, "id": "b", "prompt": "What is 9 times 7?"}])
    said = CliRunner().invoke(build_app(), ["ingest", "log.jsonl", "-o", "t.parquet"])
    assert said.exit_code == 0, said.output
    assert "next: difficulty label t.parquet" in said.output


def test_nothing_there_is_refused(tmp_path):
    with pytest.raises(TrafficError):
        look_at(tmp_path / "none.jsonl")


def test_command_prints_text_or_json_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jsonl(tmp_path / "log.jsonl", [{"prompt": "What is a lien?"}, {"prompt": "And a bond?"}])
    text = CliRunner().invoke(build_app(), ["start", "log.jsonl"])
    assert text.exit_code == 0
    assert "rows       2, 2 requests" in text.stdout
    assert "difficulty ingest log.jsonl -o traffic.parquet" in text.stdout
    plain = CliRunner().invoke(build_app(), ["start", "log.jsonl", "--json"])
    assert json.loads(plain.stdout)["kept"] == 2
    (tmp_path / "empty.csv").write_text("")
    assert CliRunner().invoke(build_app(), ["start", "empty.csv"]).exit_code == 2
    assert {path.name for path in tmp_path.iterdir()} == {"log.jsonl", "empty.csv"}
