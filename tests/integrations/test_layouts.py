"""Serving layouts: what each system would load is loaded here, and decides as the bundle does."""

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from dataclasses import replace
from pathlib import Path

import onnxruntime as ort
import pytest
from google.protobuf import text_format

from difficulty.bundle import read_bundle
from difficulty.errors import BundleError, OutputExistsError, UnknownNameError
from difficulty.integrations.layouts import DOCKERFILE, model_config
from difficulty.request import request_row
from difficulty.runtime import Router
from difficulty.runtime.service import route_rows
from difficulty.stages.layout import lay_out
from tests.conftest import REPOSITORY, require_package, require_program

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*Any type hint is inferred:UserWarning"
)  # of MLflow's own import
FORMS = [
    {
        "id": "a",
        "messages": [{"role": "user", "content": "Which label fits: invoice or complaint?"}],
        "task": "classify",
        "prompt_tokens": 9,
    },
    {"id": "b", "prompt": "Plan the move of our warehouse to Lyon."},
    {
        "id": "c",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Summarise this."}]}],
        "task": None,
    },
    {"id": "d"},
]


@pytest.fixture(scope="module")
def expected(journey):
    """The decisions of ``difficulty route``."""
    rows = [request_row(form, number) for number, form in enumerate(FORMS, 1)]
    decided = list(route_rows(Router.load(journey.bundle), rows))
    assert {row["reason"] for row in decided} >= {"easy_task", "scorer_error"}
    return decided


@pytest.fixture(scope="module")
def mlflow_model(journey, tmp_path_factory):
    folder = tmp_path_factory.mktemp("layouts") / "model"
    assert (
        lay_out(journey.bundle, "mlflow", folder)
        == f"mlflow models serve -m {folder} --env-manager local --port 5000"
    )
    return folder


def test_mlflow_model_decides_as_the_bundle(mlflow_model, expected):
    """Rows as a list, and as the table that MLflow makes of them, where absent values are NaN and
    counts are floats.
    """
    import pandas as pd
    from mlflow.pyfunc import load_model

    model = load_model(str(mlflow_model))
    assert model.predict(FORMS) == expected
    assert model.predict(pd.DataFrame(FORMS)) == expected
    assert model.predict(FORMS[1]) == expected[1:2]


def test_mlflow_model_is_checked_when_it_is_loaded(mlflow_model, tmp_path):
    from mlflow.pyfunc import load_model

    copy = shutil.copytree(mlflow_model, tmp_path / "copy")
    (graph,) = copy.glob("data/*/scorer.onnx")
    graph.write_bytes(graph.read_bytes()[:-1])
    with pytest.raises(BundleError, match="scorer.onnx was changed"):
        load_model(str(copy))


def test_mlflow_model_holds_no_pickle(mlflow_model):
    suffixes = {path.suffix for path in mlflow_model.rglob("*") if path.is_file()}
    assert suffixes == {"", ".yaml", ".txt", ".onnx", ".json", ".jsonl", ".md", ".bin"}


def test_mlflow_serves_the_decisions(mlflow_model, expected, tmp_path):
    """The real server, with nothing but the folder."""
    port = _free_port()
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "models",
        "serve",
        "-m",
        str(mlflow_model),
        "--env-manager",
        "local",
    ]
    # it starts uvicorn by name
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(REPOSITORY)}
    with (tmp_path / "server.log").open("w") as log:
        command += ["--host", "127.0.0.1", "--port", str(port)]
        server = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=tmp_path, env=environment, start_new_session=True
        )
        try:
            _await(f"http://127.0.0.1:{port}/ping", server)
            answer = _post(f"http://127.0.0.1:{port}/invocations", {"dataframe_records": FORMS})
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
    assert answer == {"predictions": expected}


def test_triton_configuration_is_that_of_the_graph(journey, tmp_path):
    """Read by Triton's own message: an unknown field or type would fail; names, types and shapes
    are the session's.
    """
    lay_out(journey.bundle, "triton", tmp_path / "repository")
    (model,) = (tmp_path / "repository").iterdir()
    messages = _triton_messages()
    config = text_format.Parse(
        (model / "config.pbtxt").read_text(encoding="utf-8"), messages.ModelConfig()
    )
    session = ort.InferenceSession(model / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    assert (config.name, config.backend, config.HasField("dynamic_batching")) == (
        model.name,
        "onnxruntime",
        True,
    )
    types = {"tensor(int64)": messages.TYPE_INT64, "tensor(float)": messages.TYPE_FP32}
    for configured, found in (
        (config.input, session.get_inputs()),
        (config.output, session.get_outputs()),
    ):
        assert [(item.name, item.data_type) for item in configured] == [
            (item.name, types[item.type]) for item in found
        ]
    assert [list(item.dims) for item in config.input] == [
        [-1],
        [-1],
    ]  # Triton puts the batch's axis before these
    assert {tuple(item.shape) for item in session.get_inputs()} == {("batch", "tokens")}
    assert [
        (list(item.dims), item.HasField("reshape"), list(item.reshape.shape))
        for item in config.output
    ] == [([1], True, [])] * 4
    assert {tuple(item.shape) for item in session.get_outputs()} == {("batch",)}
    assert (
        config.max_batch_size == 7
    )  # two million pairs of tokens: seven requests of 512, as in the runtime
    assert config.parameters["intra_op_thread_count"].string_value == "1"
    assert (
        read_bundle(model / "bundle").files["scorer.onnx"]
        == (model / "1" / "model.onnx").read_bytes()
    )


def test_triton_batches_of_short_requests_are_larger(journey):
    bundle = read_bundle(journey.bundle)
    short = replace(bundle, manifest=replace(bundle.manifest, max_tokens=63))
    assert "max_batch_size: 256\n" in model_config(short)


def test_container_recipe_is_the_example(journey, tmp_path):
    lay_out(journey.bundle, "container", tmp_path / "image")
    assert (tmp_path / "image" / "Dockerfile").read_text() == DOCKERFILE
    assert (REPOSITORY / "examples" / "container" / "Dockerfile").read_text() == DOCKERFILE
    assert sorted(path.name for path in (tmp_path / "image").iterdir()) == [
        "Dockerfile",
        "bundle",
        "wheels",
    ]
    assert read_bundle(tmp_path / "image" / "bundle").digest == read_bundle(journey.bundle).digest


@pytest.mark.slow
def test_container_steps_work_in_an_empty_environment(journey, tmp_path, expected):
    """No image is built: the recipe's own RUN and CMD lines are carried out in a new virtual
    environment.
    """
    require_program("bash")
    folder = tmp_path / "image"
    lay_out(journey.bundle, "container", folder)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "-w",
            folder / "wheels",
            REPOSITORY,
        ],
        check=True,
    )
    venv.create(tmp_path / "environment", with_pip=True)
    environment = {
        "PATH": f"{tmp_path / 'environment' / 'bin'}:/usr/bin:/bin",
        "HOME": str(tmp_path),
    }
    environment |= {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("PIP_", "SSL_", "REQUESTS_"))
    }
    here = DOCKERFILE.replace("/tmp/wheels", str(folder / "wheels")).replace(
        "/srv/bundle", str(folder / "bundle")
    )
    steps = [line.split(" ", 1) for line in here.splitlines() if line and not line.startswith("#")]
    for word, rest in steps:
        if word == "RUN":
            subprocess.run(["bash", "-c", rest], check=True, env=environment, cwd=tmp_path)
    (start,) = (json.loads(rest) for word, rest in steps if word == "CMD")
    port = _free_port()
    start[start.index("--host") + 1], start[start.index("--port") + 1] = "127.0.0.1", str(port)
    server = subprocess.Popen(
        [tmp_path / "environment" / "bin" / start[0], *start[1:]], env=environment, cwd=tmp_path
    )
    try:
        _await(f"http://127.0.0.1:{port}/health", server)
        assert _post(f"http://127.0.0.1:{port}/decide", FORMS) == expected
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=20) == 130
    finally:
        server.kill()
        server.wait()
    installed = subprocess.check_output(
        [tmp_path / "environment" / "bin" / "pip", "list", "--format", "freeze"],
        env=environment,
        text=True,
    )
    assert not {"scikit-learn", "scipy", "pandas", "torch", "onnx"} & {
        line.partition("==")[0] for line in installed.splitlines()
    }


def test_unknown_layouts_and_old_folders_are_refused(journey, tmp_path):
    with pytest.raises(
        UnknownNameError, match="unknown layout 'tensorrt'. Known: container, mlflow, triton"
    ):
        lay_out(journey.bundle, "tensorrt", tmp_path / "new")
    with pytest.raises(OutputExistsError, match="exists already"):
        lay_out(journey.bundle, "triton", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_damaged_bundle_is_not_laid_out(journey, tmp_path):
    copy = shutil.copytree(journey.bundle, tmp_path / "copy")
    (copy / "policy.json").write_bytes(b"{}")
    with pytest.raises(BundleError, match="policy.json was changed"):
        lay_out(copy, "container", tmp_path / "image")
    assert not (tmp_path / "image").exists()


def _triton_messages():
    """Return Triton's messages from the package tritonclient, of which nothing else is imported:
    the rest needs gRPC.
    """
    path = require_package("tritonclient") / "grpc" / "model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("triton_model_config", path)
    messages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(messages)
    return messages


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _await(address, server):
    end = time.monotonic() + 120
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"no answer at {address}, exit code {server.poll()}")


def _post(address, form):
    request = urllib.request.Request(
        address, json.dumps(form).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())
