"""Reference methods: what a few lines of scikit-learn reach on the same folds.

Their settings were tuned a little on MMLU itself, which flatters them there; ``random`` and
``oracle`` are the ends of the scale.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from benchmarks.peers.exchange import Fit, Problem, Rows, Scorer


def length(problem: Problem, rows: Rows) -> Scorer:
    """Longer requests are harder."""
    return lambda others: np.array([len(problem.texts[row]) for row in others], dtype=np.float64)


def task_mean(problem: Problem, rows: Rows) -> Scorer:
    """The mean gain of the request's task; of all tasks where it is new or not known."""
    tasks, gain = np.array(problem.tasks), problem.gain
    means = {task: gain[rows][tasks[rows] == task].mean() for task in np.unique(tasks[rows])}
    return lambda others: np.array([means.get(tasks[row], gain[rows].mean()) for row in others])


def nearest_neighbours(problem: Problem, rows: Rows, *, n_neighbours: int = 100) -> Scorer:
    """The mean gain of the 100 requests with the most similar MiniLM embeddings."""
    known, gain = problem.embeddings[rows], problem.gain[rows]

    def score(others: Rows) -> np.ndarray:
        blocks = np.array_split(others, max(1, len(others) // 1000))
        nearest = [
            np.argpartition(-(problem.embeddings[block] @ known.T), n_neighbours, axis=1)[
                :, :n_neighbours
            ]
            for block in blocks
        ]
        return gain[np.concatenate(nearest)].mean(axis=1)

    return score


def tfidf_difference(problem: Problem, rows: Rows) -> Scorer:
    """P(cheap fails) minus P(frontier fails), each a logistic model on TF-IDF of words and pairs of
    words.
    """
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    vectors = vectorizer.fit_transform([problem.texts[row] for row in rows])
    scorer = _difference(problem, rows, vectors, strength=0.3)
    return lambda others: scorer(vectorizer.transform([problem.texts[row] for row in others]))


def minilm_difference(problem: Problem, rows: Rows) -> Scorer:
    """P(cheap fails) minus P(frontier fails), each a logistic model on standardised MiniLM
    embeddings.
    """
    scaler = StandardScaler().fit(problem.embeddings[rows])
    scorer = _difference(problem, rows, scaler.transform(problem.embeddings[rows]), strength=0.003)
    return lambda others: scorer(scaler.transform(problem.embeddings[others]))


def blend(problem: Problem, rows: Rows) -> Scorer:
    """The mean of TF-IDF, MiniLM and neighbours, each as a standard score of the requests asked."""
    scorers = [
        fit(problem, rows) for fit in (tfidf_difference, minilm_difference, nearest_neighbours)
    ]

    def score(others: Rows) -> np.ndarray:
        said = np.stack([scorer(others) for scorer in scorers])
        deviation = said.std(axis=1, keepdims=True)
        return ((said - said.mean(axis=1, keepdims=True)) / np.maximum(deviation, 1e-12)).mean(0)

    return score


def chance(problem: Problem, rows: Rows) -> Scorer:
    """A random order."""
    return lambda others: np.random.default_rng(len(rows)).random(len(others))


def oracle(problem: Problem, rows: Rows) -> Scorer:
    """The gain itself: no score can do better."""
    return lambda others: problem.gain[others]


REFERENCES: dict[str, Fit] = {
    "oracle": oracle,
    "tfidf": tfidf_difference,
    "task_mean": task_mean,
    "knn100": nearest_neighbours,
    "minilm_lr": minilm_difference,
    "blend": blend,
    "length": length,
    "random": chance,
}


def _difference(problem: Problem, rows: Rows, vectors: csr_matrix | np.ndarray, *, strength: float):  # noqa: ANN202
    """Return a function from vectors to the difference of two models; outcomes between 0 and 1
    count as failures below one half.
    """
    heads = [
        LogisticRegression(C=strength, max_iter=2000).fit(vectors, quality[rows] < 0.5)
        for quality in (problem.cheap, problem.frontier)
    ]
    return lambda other: heads[0].predict_proba(other)[:, 1] - heads[1].predict_proba(other)[:, 1]
