"""A bundle as a model repository of Triton Inference Server, for its ONNX Runtime backend; needs no
package.

    <folder>/<name>/config.pbtxt  1/model.onnx  bundle/...

Triton computes scores from token ids. What makes ids of a request and a decision of a score lies
beside it, in ``bundle/``: tokenizer, policy, golden vectors.
"""

from __future__ import annotations

import json
from pathlib import Path

from difficulty.bundle import Bundle
from difficulty.bundle.store import copy_bundle
from difficulty.integrations.layouts import Layout
from difficulty.runtime.session import most_rows

_INPUTS = ("input_ids", "attention_mask")
_MOST_PAIRS = 2_000_000
"""Of tokens in a batch: fewer would leave batches of one at 512 tokens, and a server of its own has
the memory.
"""


def model_config(bundle: Bundle) -> str:
    """Return ``config.pbtxt``, a ``ModelConfig`` message in text form.

    A batch is at most what one call may hold in memory at the longest request
    (:func:`difficulty.runtime.session.most_rows`).
    """
    longest = bundle.manifest.max_tokens + bool(bundle.manifest.task_ids)
    inputs = [
        f"  {{ name: {_quoted(name)} data_type: TYPE_INT64 dims: [ -1 ] }}" for name in _INPUTS
    ]
    outputs = [
        # the graph's have the batch's axis only
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


def _write(bundle: Bundle, folder: Path) -> None:
    model = folder / bundle.manifest.name
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text(model_config(bundle), encoding="utf-8")
    (model / "1" / "model.onnx").write_bytes(bundle.files["scorer.onnx"])
    copy_bundle(bundle, model / "bundle")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


TRITON_REPOSITORY = Layout(write=_write, next_step="tritonserver --model-repository {folder}")
