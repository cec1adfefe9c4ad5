"""semantic-router 1.1.1: two routes, ``cheap`` and ``frontier``, whose utterances are the labelled
requests.

A request is an utterance of ``frontier`` where the frontier model was strictly better. The score is
the router's raw score of ``frontier`` minus that of ``cheap``, five neighbours and their mean as
shipped. Its ``fit`` (since 1.0 a calibration of confidences) is not called: it never reorders
routes, and would take a part of the requests away from the utterances. Deviations: the encoder
looks up the given MiniLM embeddings; also with 100 neighbours and their sum
(``semantic_router_k100``), because five can hardly rank.
"""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
from exchange import Fit, Problem, Rows, Scorer, main
from semantic_router import Route
from semantic_router.encoders import DenseEncoder
from semantic_router.routers.indexed import IndexedRouter


class Lookup(DenseEncoder):
    """Embeddings that are known by text."""

    known: dict[str, list[float]]

    def __call__(self, docs: list[str]) -> list[list[float]]:
        """Return the embeddings of texts."""
        return [self.known[text] for text in docs]

    async def acall(self, docs: list[str]) -> list[list[float]]:
        """Return the embeddings of texts."""
        return self(docs)


def router(**settings: Any) -> Fit:
    """Return the router with some settings of its own."""

    def fit(problem: Problem, rows: Rows) -> Scorer:
        encoder = Lookup(
            name="minilm", known=dict(zip(problem.texts, problem.embeddings.tolist(), strict=True))
        )
        model = IndexedRouter(encoder, _routes(problem, rows), **settings)
        return lambda others: _margins(model, [problem.texts[row] for row in others])

    return fit


def _routes(problem: Problem, rows: Rows) -> list[Route]:
    better = problem.gain[rows] > 0
    utterances = {"cheap": rows[~better], "frontier": rows[better]}
    return [
        Route(name=name, utterances=[problem.texts[row] for row in members])
        for name, members in utterances.items()
    ]


def _margins(model: IndexedRouter, texts: list[str]) -> np.ndarray:
    """Return how far ``frontier`` is ahead by the router's own scores, before it picks a route."""
    scores = asyncio.run(model._scores_many(texts))
    return np.array([score["frontier"] - score["cheap"] for score in scores])


if __name__ == "__main__":
    main(
        {"semantic_router": router(), "semantic_router_k100": router(top_k=100, aggregation="sum")}
    )
