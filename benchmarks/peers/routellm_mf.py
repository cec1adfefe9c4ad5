"""RouteLLM 0.2.0: its matrix-factorisation router, trained by its own loop with the settings of its
own training script.

Deviations: embeddings are given (MiniLM, 384 numbers) where the project asks OpenAI for them;
outcomes of one model pair stand in for arena votes, the better answer wins and ties are left out,
as the script leaves them out; training runs on the processor. The package makes an OpenAI client
when it is imported, so a key is named that is never used.
"""

from __future__ import annotations

import os
import random
import tempfile
from pathlib import Path

import numpy as np
import torch
from exchange import Problem, Rows, Scorer, main

os.environ.setdefault("OPENAI_API_KEY", "not-used")
from routellm.routers.matrix_factorization.model import MODEL_IDS
from routellm.routers.matrix_factorization.train_matrix_factorization import (
    MFModel_Train,
    PairwiseDataset,
    train_loops,
)

CHEAP, FRONTIER = "mixtral-8x7b-instruct-v0.1", "gpt-4-1106-preview"
"""Two of the models whose names the package knows; only their numbers matter."""
DIM, BATCH_SIZE, EPOCHS, ALPHA, RATE, DECAY = 128, 64, 100, 0.1, 3e-4, 1e-5
SEED = 42


def matrix_factorisation(problem: Problem, rows: Rows) -> Scorer:
    """Return the matrix-factorisation router, trained as ``train_matrix_factorization.py`` trains
    it.
    """
    for seed in (torch.manual_seed, np.random.seed, random.seed):
        seed(SEED)
    battles = [_battle(row, problem.gain[row]) for row in rows if problem.gain[row] != 0]
    random.shuffle(battles)
    edge = int(len(battles) * 0.95)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "embeddings.npy"
        np.save(path, problem.embeddings)
        net = MFModel_Train(
            DIM,
            len(MODEL_IDS),
            len(problem.texts),
            text_dim=problem.embeddings.shape[1],
            npy_path=path,
        )
    train, test = PairwiseDataset(battles[:edge]), PairwiseDataset(battles[edge:])
    settings = {
        "lr": RATE,
        "weight_decay": DECAY,
        "alpha": ALPHA,
        "num_epochs": EPOCHS,
        "device": "cpu",
    }
    train_loops(
        net,
        train.get_dataloaders(BATCH_SIZE),
        test.get_dataloaders(1024, shuffle=False),
        **settings,
    )
    net.eval()

    @torch.no_grad()
    def score(others: Rows) -> np.ndarray:
        strong, weak = (torch.full((len(others),), MODEL_IDS[name]) for name in (FRONTIER, CHEAP))
        return torch.sigmoid(net(strong, weak, torch.tensor(others), test=True)).numpy()

    return score


def _battle(row: int, gain: float) -> dict[str, str | int]:
    """Return one pair of answers as the package's training data has them."""
    return {
        "model_a": CHEAP,
        "model_b": FRONTIER,
        "winner": "model_b" if gain > 0 else "model_a",
        "idx": int(row),
    }


if __name__ == "__main__":
    main({"routellm_mf": matrix_factorisation})
