"""Serving layouts: a bundle as the folder that another serving system expects; each is a line in
``LAYOUTS``.

Other packages add layouts through entry points of the group ``difficulty.layouts``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from difficulty.bundle import Bundle
from difficulty.bundle.store import copy_bundle
from difficulty.conversation.request_numbers import FEATURES, NUMBERS
from difficulty.runtime.session import most_rows

LAYOUTS = {
    "container": "difficulty.integrations.layouts:CONTAINER",
    "mlflow": "difficulty.integrations.mlflow:MLFLOW_MODEL",
    "triton": "difficulty.integrations.layouts:TRITON_REPOSITORY",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One way to lay a bundle out."""

    write: Callable[[Bundle, Path], None]
    """Writes a checked bundle into an empty folder."""
    next_step: str
    """Command that serves it; ``{folder}`` stands for the folder."""


DOCKERFILE = """\
# The extra serve, a bundle, and 'difficulty serve'.
# Built from a folder that holds bundle/ and wheels/ (docs/serving.md).
FROM python:3.12-slim
COPY wheels /tmp/wheels
RUN pip install --no-cache-dir "$(echo /tmp/wheels/*.whl)[serve]"
COPY bundle /srv/bundle
# The build fails where the golden vectors are not reproduced.
RUN difficulty verify /srv/bundle
USER nobody
ENV OMP_NUM_THREADS=1
EXPOSE 8080
HEALTHCHECK CMD ["python", "-c", \\
  "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/healthz')"]
CMD ["difficulty", "serve", "/srv/bundle", "--host", "0.0.0.0", "--port", "8080"]
"""


def _write_container(bundle: Bundle, folder: Path) -> None:
    (folder / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
    (folder / "wheels").mkdir()
    copy_bundle(bundle, folder / "bundle")


CONTAINER = Layout(
    write=_write_container,
    next_step=(
        "pip wheel --no-deps -w {folder}/wheels <checkout of difficulty> && docker build -t"
        " difficulty-router {folder}"
    ),
)

_INPUTS = ("input_ids", "attention_mask")
# Of tokens in a batch: fewer would leave batches of one at 512 tokens, and a server of its own has
# the memory.
_MOST_PAIRS = 2_000_000


def model_config(bundle: Bundle) -> str:
    """Return ``config.pbtxt``, a ``ModelConfig`` message in text form.

    A batch is at most what one call may hold in memory at the longest request
    (:func:`difficulty.runtime.session.most_rows`).
    """
    longest = bundle.manifest.max_tokens + bool(bundle.manifest.task_ids)
    inputs = [
        f"  {{ name: {_quoted(name)} data_type: TYPE_INT64 dims: [ -1 ] }}" for name in _INPUTS
    ]
    if bundle.manifest.request_numbers is not None:
        numbers = f"data_type: TYPE_FP32 dims: [ {len(NUMBERS)} ]"
        inputs.append(f"  {{ name: {_quoted(FEATURES)} {numbers} }}")
    # Reshaped, for the graph's outputs have the batch's axis only, and Triton wants one more.
    outputs = [
        f"  {{ name: {_quoted(name)} data_type: TYPE_FP32 dims: [ 1 ] reshape {{ shape: [ ] }} }}"
        for name in bundle.manifest.outputs
    ]
    lines = [
        f"name: {_quoted(bundle.manifest.name)}",
        'backend: "onnxruntime"',
        f"max_batch_size: {most_rows(longest, most_pairs=_MOST_PAIRS)}",
        "input [",
        ",\n".join(inputs),
        "]",
        "output [",
        ",\n".join(outputs),
        "]",
        "dynamic_batching { }",  # requests of one length that wait together; none waits for others
        "instance_group [ { count: 1 kind: KIND_CPU } ]",
        'parameters { key: "intra_op_thread_count" value { string_value: "1" } }',
    ]
    return "\n".join(lines) + "\n"


def _write_triton(bundle: Bundle, folder: Path) -> None:
    model = folder / bundle.manifest.name
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text(model_config(bundle), encoding="utf-8")
    (model / "1" / "model.onnx").write_bytes(bundle.files["scorer.onnx"])
    copy_bundle(bundle, model / "bundle")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


TRITON_REPOSITORY = Layout(
    write=_write_triton, next_step="tritonserver --model-repository {folder}"
)
