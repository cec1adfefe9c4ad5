"""model2vec 0.10.0: its trainable classifier on static embeddings, all settings as shipped.

It learns whether the frontier model is strictly better, and scores with that probability.
Deviation: no model of the Hub can be had offline, so it starts from this project's static table
(256 numbers a token, distilled by model2vec from MiniLM; ``models/``).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from exchange import Problem, Rows, Scorer, main
from model2vec import StaticModel
from model2vec.train import StaticModelForClassification
from tokenizers import Tokenizer

ENCODER = Path(__file__).parents[2] / "models" / "static-minilm-256"


def classifier(problem: Problem, rows: Rows) -> Scorer:
    """Return the classifier."""
    labels = ["frontier" if gain > 0 else "cheap" for gain in problem.gain[rows]]
    model = StaticModelForClassification.from_static_model(model=static_model()).fit(
        [problem.texts[row] for row in rows], labels, device="cpu"
    )
    column = list(model.classes_).index("frontier")
    return lambda others: model.predict_proba([problem.texts[row] for row in others])[:, column]


def static_model() -> StaticModel:
    """Return the shipped static encoder as a model of model2vec."""
    with np.load(ENCODER / "table.npz", allow_pickle=False) as arrays:
        vectors = arrays["table"] * arrays["scale"][:, None]
    return StaticModel(
        vectors.astype(np.float32),
        Tokenizer.from_file(str(ENCODER / "tokenizer.json")),
        normalize=True,
    )


if __name__ == "__main__":
    main({"model2vec": classifier})
