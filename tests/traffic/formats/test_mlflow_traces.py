"""Traces of MLflow as traffic, from JSON and through mlflow's own client."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import warnings
from contextlib import closing
from urllib.request import urlopen

import pytest

from difficulty.errors import InvalidValueError, TrafficError
from difficulty.traffic.formats import find_format
from difficulty.traffic.formats.mlflow_traces import MLflowFormat
from tests.traffic.formats.examples import PAIR, read_example, sample_of, told


def test_traces_are_read_with_their_assessments():
    found, rows = read_example("mlflow-traces-3.jsonl")
    assert found == "mlflow"
    sample = sample_of(rows[0])
    assert (sample.messages[0].content, sample.cheap_answer) == ("Add 2 and 2.", "4")
    assert (sample.cheap_quality, sample.measured_by) == (1.0, "feedback")
    assert (sample.prompt_tokens, sample.cheap_tokens, sample.cheap_cost_usd) == (9, 1, 3e-5)
    assert (sample.task, sample.group, sample.id) == ("support", None, "tr-1/0000000000000001")


def test_unknown_schemas_are_refused_by_name():
    _, rows = read_example("mlflow-traces-3.jsonl")
    schema, retriever = told(rows)[1:]
    assert schema.startswith("a trace of MLflow must be of schema 2 or 3: got '9'")
    assert retriever == "a trace without a call of a model"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store into which mlflow's own client wrote two traces, one with feedback of a judge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages that mlflow uses
        return _written_store(tmp_path_factory)


def _written_store(tmp_path_factory):
    mlflow = pytest.importorskip("mlflow")
    from mlflow.entities import AssessmentSource, SpanType

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    before, variable = mlflow.get_tracking_uri(), os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(f"sqlite:///{path}")
    try:
        # Else what it keeps beside the store lies where the tests are run.
        mlflow.create_experiment("desk", artifact_location=path.with_name("kept").as_uri())
        mlflow.set_experiment("desk")
        for model, text in (("small-1", "four"), ("big-1", "4")):
            with mlflow.start_span("chat", span_type=SpanType.CHAT_MODEL) as span:
                messages = [{"role": "user", "content": f"2 + 2 for {model}?"}]
                span.set_inputs({"model": model, "messages": messages})
                span.set_attribute(
                    "mlflow.chat.tokenUsage",
                    {"input_tokens": 8, "output_tokens": 1, "total_tokens": 9},
                )
                answer = {"role": "assistant", "content": text}
                span.set_outputs({"choices": [{"message": answer}]})
            mlflow.flush_trace_async_logging()
            mlflow.log_feedback(
                trace_id=span.trace_id,
                name="correctness",
                value=model == "big-1",
                source=AssessmentSource(source_type="LLM_JUDGE", source_id="strict"),
            )
    finally:
        mlflow.set_tracking_uri(before)
        # MLflow writes it; commands that run later would record where this process was started.
        os.environ.pop("MLFLOW_TRACKING_URI")
        if variable is not None:
            os.environ["MLFLOW_TRACKING_URI"] = variable
    return path


@pytest.mark.filterwarnings("ignore")
def test_a_real_store_is_read_through_mlflows_client(store):
    name, layout, (file,) = find_format(store, options=PAIR)
    assert name == "mlflow"
    samples = {row.fields["messages"][0]["content"]: sample_of(row) for row in layout.rows(file)}
    cheap, frontier = samples["2 + 2 for small-1?"], samples["2 + 2 for big-1?"]
    assert (cheap.cheap_answer, cheap.cheap_quality, cheap.measured_by) == (
        "four", 0.0, "judge:strict",
    )  # fmt: skip
    assert (frontier.frontier_answer, frontier.frontier_quality) == ("4", 1.0)
    assert (cheap.prompt_tokens, cheap.cheap_tokens) == (8, 1)


@pytest.mark.filterwarnings("ignore")
def test_a_server_is_named_by_a_file(store, tmp_path):
    address = tmp_path / "desk.mlflow.toml"
    address.write_text(f'tracking_uri = "sqlite:///{store}"\nexperiments = ["desk"]\n')
    name, layout, (file,) = find_format(address, options=PAIR)
    assert (name, len(list(layout.rows(file)))) == ("mlflow", 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "tracking_uri must be an address"),
        ('uri = "x"', "a key must be tracking_uri or experiments: got 'uri'"),
        ('tracking_uri = "x"\nexperiments = "desk"', "experiments must be a list of names"),
    ],
)
def test_an_address_that_says_something_else_is_refused(text, said, tmp_path):
    address = tmp_path / "a.mlflow.toml"
    address.write_text(text)
    with pytest.raises(InvalidValueError, match=said):
        list(MLflowFormat(PAIR).rows(address))


def test_another_database_is_left_as_it_is(tmp_path):
    """MLflow's client makes tables in any database that it is given."""
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE a (b)")
        other.commit()
    before = path.read_bytes()
    with pytest.raises(TrafficError):
        find_format(path, "mlflow")
    assert path.read_bytes() == before


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_a_real_server_is_read_over_http(store, tmp_path):
    """The same two traces, by way of ``mlflow server`` on this machine."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri"]
    options = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    quick = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with subprocess.Popen(
        [*command, f"sqlite:///{store}", *options],
        cwd=tmp_path,
        env={**os.environ, **quick},  # jobs import what takes long
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as server:
        try:
            wait_for(f"{address}/health")
            named = tmp_path / "desk.mlflow.toml"
            named.write_text(f'tracking_uri = "{address}"\n')
            rows = list(MLflowFormat(PAIR).rows(named))
        finally:
            os.killpg(server.pid, signal.SIGTERM)
    samples = [sample_of(row) for row in rows]
    assert sorted(sample.measured_by for sample in samples) == ["judge:strict"] * 2
    assert {sample.cheap_answer for sample in samples} == {"four", None}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url):
    end = time.monotonic() + 120
    while True:
        try:
            with urlopen(url, timeout=5) as reply:
                assert reply.status == 200
                return
        except OSError:
            assert time.monotonic() < end, f"{url} did not answer within two minutes"
            time.sleep(0.1)
