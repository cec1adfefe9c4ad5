"""LLMRouter's nearest-neighbour router on 4,000 requests, as its ``knn`` predicts, its encoder's
time left out: embeddings are random.
"""

import numpy as np
from llmrouter.models import KNNRouter  # noqa: F401 - what stands in memory when it is used
from sklearn.neighbors import KNeighborsClassifier
from worker import serve

DIM, REQUESTS = 384, 4_000
rng = np.random.default_rng(0)
model = KNeighborsClassifier(n_neighbors=5).fit(
    rng.normal(size=(REQUESTS, DIM)), rng.choice(["cheap", "frontier"], REQUESTS)
)
asked = rng.normal(size=(1, DIM))
model.predict(asked)
serve({"look up": lambda text: model.predict(asked)})
