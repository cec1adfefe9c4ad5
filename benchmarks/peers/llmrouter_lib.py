"""LLMRouter (llmrouter-lib 0.4.0): its knn, svm, mlp and matrix-factorisation routers, trained by
its own routers and trainers.

Settings are those of the project's published training configurations
(``configs/model_config_train``). Deviations:

- embeddings are given (MiniLM, 384 numbers) where the project computes Longformer's (768), by the
  project's own key for them;
- the score is the trained model's preference for the frontier model before its argmax: class
  probability (knn, mlp), decision function (svm), difference of logits (matrix factorisation);
- svm runs without ``probability: true``, which refits five times for probabilities that rank as the
  decision function does;
- knn also with 100 neighbours (``knn100``), because 5 give six different scores and routing needs a
  ranking; the project's file for knn sets nothing, its multi-round knn sets 5.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from exchange import Fit, Problem, Rows, Scorer, main
from llmrouter.models import (
    KNNRouter,
    KNNRouterTrainer,
    MFRouter,
    MFRouterTrainer,
    MLPRouter,
    MLPTrainer,
    SVMRouter,
    SVMRouterTrainer,
)

KNN = {"weights": "uniform", "algorithm": "auto", "leaf_size": 30, "p": 2, "metric": "minkowski"}
SVM = {"kernel": "rbf", "C": 1.0, "gamma": "scale"}
MLP = {
    "hidden_layer_sizes": [128, 64],
    "activation": "relu",
    "lr": 0.001,
    "epochs": 100,
    "batch_size": 32,
    "alpha": 0.0001,
}
MF = {"latent_dim": 128, "lr": 0.001, "epochs": 5, "noise_alpha": 0.0}
SEED = 0


def knn(neighbours: int) -> Fit:
    """Return the nearest-neighbour router."""

    def fit(problem: Problem, rows: Rows) -> Scorer:
        model = train(
            KNNRouter, KNNRouterTrainer, KNN | {"n_neighbors": neighbours}, problem, rows
        ).model
        column = list(model.classes_).index("frontier")
        return lambda others: model.predict_proba(problem.embeddings[others])[:, column]

    return fit


def svm(problem: Problem, rows: Rows) -> Scorer:
    """Return the support-vector router."""
    model = train(SVMRouter, SVMRouterTrainer, SVM, problem, rows).model
    sign = 1.0 if model.classes_[1] == "frontier" else -1.0
    return lambda others: sign * model.decision_function(problem.embeddings[others])


def mlp(problem: Problem, rows: Rows) -> Scorer:
    """Return the multi-layer perceptron router."""
    trainer = train(MLPRouter, MLPTrainer, MLP, problem, rows)
    model, column = trainer.model.eval(), trainer.router.model_to_idx["frontier"]
    return lambda others: torch.softmax(_forward(model, problem.embeddings[others]), dim=-1)[
        :, column
    ].numpy()


def matrix_factorisation(problem: Problem, rows: Rows) -> Scorer:
    """Return the bilinear matrix-factorisation router."""
    trainer = train(
        MFRouter, MFRouterTrainer, MF | {"text_dim": problem.embeddings.shape[1]}, problem, rows
    )
    model, index = trainer.model.eval(), trainer.router.model_to_idx

    @torch.no_grad()
    def score(others: Rows) -> np.ndarray:
        projected = model.project_text(
            torch.tensor(problem.embeddings[others], dtype=torch.float32)
        )
        logits = np.stack([model.score_all(row).numpy() for row in projected])
        return logits[:, index["frontier"]] - logits[:, index["cheap"]]

    return score


def train(
    router_class: type,
    trainer_class: type,
    settings: Mapping[str, Any],
    problem: Problem,
    rows: Rows,
) -> Any:
    """Return the trainer after training on some requests, its data given as the project's files."""
    torch.manual_seed(SEED)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        trainer = trainer_class(router_class(str(_write_files(folder, settings, problem, rows))))
        trainer.train()
        return trainer


def _write_files(folder: Path, settings: Mapping[str, Any], problem: Problem, rows: Rows) -> Path:
    """Write routing data, embeddings and configuration; return the configuration's path."""
    lines = [
        json.dumps(
            {
                "query": problem.texts[row],
                "model_name": model,
                "performance": float(quality[row]),
                "embedding_id": place,
            }
        )
        for place, row in enumerate(rows)
        for model, quality in (("cheap", problem.cheap), ("frontier", problem.frontier))
    ]
    (folder / "routing.jsonl").write_text("\n".join(lines), encoding="utf-8")
    torch.save(
        torch.tensor(problem.embeddings[rows], dtype=torch.float32), folder / "embeddings.pt"
    )
    config = {
        "data_path": {
            "query_embedding_data": str(folder / "embeddings.pt"),
            "routing_data_train": str(folder / "routing.jsonl"),
        },
        "model_path": {"ini_model_path": "", "save_model_path": str(folder / "model.pkl")},
        "metric": {"weights": {"performance": 1, "cost": 0, "llm_judge": 0}},
        "hparam": dict(settings),
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return folder / "config.yaml"


@torch.no_grad()
def _forward(model: torch.nn.Module, embeddings: np.ndarray) -> torch.Tensor:
    return model(torch.tensor(embeddings, dtype=torch.float32))


if __name__ == "__main__":
    main(
        {
            "llmrouter_knn": knn(5),
            "llmrouter_knn100": knn(100),
            "llmrouter_svm": svm,
            "llmrouter_mlp": mlp,
            "llmrouter_mf": matrix_factorisation,
        }
    )
