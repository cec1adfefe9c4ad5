"""semantic-router 1.1.1 with two routes of 2,000 utterances, its encoder's time left out:
embeddings are random unit vectors.
"""

import numpy as np
from semantic_router import Route
from semantic_router.encoders import DenseEncoder
from semantic_router.routers.indexed import IndexedRouter
from worker import serve

DIM, UTTERANCES = 384, 2_000
rng = np.random.default_rng(0)


class Given(DenseEncoder):
    """Embeddings that cost nothing."""

    def __call__(self, docs: list[str]) -> list[list[float]]:
        """Return a unit vector for each text."""
        vectors = rng.normal(size=(len(docs), DIM))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).tolist()


routes = [
    Route(name=name, utterances=[f"{name} {number}" for number in range(UTTERANCES)])
    for name in ("cheap", "frontier")
]
router = IndexedRouter(Given(name="given"), routes)
router("first request")
serve({"look up": router})
