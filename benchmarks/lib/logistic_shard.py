"""A shard of rows that a solver asks for its gradient: of a module, so that workers find it."""

from __future__ import annotations

from typing import Any

import numpy as np

COLUMNS = 400


class LogisticShard:
    """Rows made by chance, and the loss of weights on them."""

    def __init__(self, n: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.rows = rng.normal(size=(n, COLUMNS)).astype(np.float32)
        self.labels = rng.integers(0, 2, size=n) * 2.0 - 1.0

    def __call__(self, weights: Any) -> tuple[float, Any]:
        """Return the loss and its gradient."""
        margins = self.labels * (self.rows @ weights)
        loss = float(np.logaddexp(0.0, -margins).sum())
        return loss, self.rows.T @ (-self.labels / (1.0 + np.exp(margins)))
