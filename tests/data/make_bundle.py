"""How ``bundle-format-1-1`` was made: ``python -m tests.data.make_bundle FOLDER``.

It stays as it is and readable for good. When ``BUNDLE_FORMAT`` is raised, make one of the new
format beside it with the code of that day.
"""

import json
import sys
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path

from difficulty.bundle import BUNDLE_FORMAT, Chosen, Policy, write_bundle
from difficulty.export.graph import build_graph
from difficulty.export.parity import golden_requests
from difficulty.runtime.golden import golden_rows
from difficulty.runtime.router import Router
from difficulty.runtime.scorer import Scorer
from difficulty.runtime.session import load_session
from difficulty.text import TextView
from difficulty.tokens import RequestTokenizer
from tests.fakes import fit_model, load_encoder, word_tokenizer

__all__ = ["POLICY", "manifest_of", "write_small_bundle"]

MAX_CHARS, MAX_TOKENS = 8192, 64
WORDS = ["w3 w17 w3", "w150 w180 w199 w160 w5", "w99 w101 " * 60, "w1", "w120 " * 20]
"""Requests that the tokenizer of 200 words knows; of the project's own suite it knows none."""

POLICY = {
    "cheap_model": "cheap-8b",
    "frontier_model": "frontier",
    "max_cheap_tokens": 5,
    "easy_tasks": ["classify"],
    "hard_tasks": ["multi-step planning"],
    "threshold": 0.6,
    "review_date": "2030-01-01",
    "chosen": {"objective": "share=0.3", "calibration_data": "0" * 64, "n": 150, "expected": {}},
}


def manifest_of(**changes):
    """Return the fields of a manifest."""
    form = {
        "format": BUNDLE_FORMAT,
        "name": "bundle-format",
        "version": "1",
        "created": datetime(2026, 11, 23, tzinfo=UTC).isoformat(),
        "target": "benefit",
        "outputs": ["difficulty_score", "p_cheap_fails", "p_frontier_fails", "familiarity"],
        "text_view": 1,
        "max_chars": MAX_CHARS,
        "max_tokens": MAX_TOKENS,
        "score_tolerance": 1e-4,
        "cheap_model": "cheap-8b",
        "frontier_model": "frontier",
        "training_data": "0" * 64,
        "split": {"seed": 0, "fit": 0.6, "calibration": 0.2, "test": 0.2},
        "recipe": {"name": "words", "policy": {"review_after_days": 91}},
        "libraries": {"difficulty": "0.1.0"},
    }
    return form | changes


def write_small_bundle(folder):
    """Write a bundle whose model was fitted on made-up words."""
    with tempfile.TemporaryDirectory() as scratch:
        graph = build_graph(fit_model(load_encoder(Path(scratch) / "encoder"))).SerializeToString()
    tokenizer, view = (
        RequestTokenizer(word_tokenizer(), max_tokens=MAX_TOKENS),
        TextView(1, max_chars=MAX_CHARS),
    )
    policy = Policy(
        **{**POLICY, "review_date": date(2030, 1, 1), "chosen": Chosen(**POLICY["chosen"])}
    )
    router = Router(Scorer(load_session(graph), tokenizer, view), policy, version="bundle-format-1")
    words = [
        {"id": f"words-{number}", "messages": [{"role": "user", "content": text}]}
        for number, text in enumerate(WORDS)
    ]
    rows = golden_rows(router, [*words, *golden_requests()])
    files = {
        "scorer.onnx": graph,
        "tokenizer.json": word_tokenizer().to_str().encode(),
        "policy.json": (json.dumps(POLICY, indent=2) + "\n").encode(),
        "golden.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode("ascii"),
        "metrics.json": b"{}\n",
        "card.md": b"# bundle-format-1\n\nMade for a test; see tests/data/make_bundle.py.\n",
    }
    return write_bundle(folder, files, manifest_of())


if __name__ == "__main__":
    write_small_bundle(Path(sys.argv[1]))
