"""A check of answers made by hand, with the contract of a learned one: any score can be had by
choosing the answer's first word.
"""

import json

import numpy as np

from difficulty.answers.facts import FACTS, FACTS_VERSION
from difficulty.bundle import read_bundle, write_bundle
from difficulty.bundle.answer_facts import AnswerFacts
from difficulty.runtime.answer_checker import AnswerChecker
from difficulty.runtime.answers import AnswerScorer
from difficulty.runtime.golden_answers import golden_answer_rows
from difficulty.runtime.scorer import Scorer
from difficulty.runtime.session import load_session
from difficulty.tensors import GraphBuilder

_INPUTS = ("input_ids", "attention_mask", "answer_ids", "answer_mask")
NO_ANSWER = 0.125
"""Score of an answer without a token."""
CASES = [
    {
        "id": "plain",
        "body": {"messages": [{"role": "user", "content": "How much is 3 * 4?"}]},
        "answer": {"role": "assistant", "content": "3 * 4 = 12"},
    },
    {
        "id": "empty",
        "body": {"messages": [{"role": "user", "content": "w3 w4"}]},
        "task": "classify",
        "answer": {"role": "assistant", "content": None},
    },
    {
        "id": "nothing to read",
        "body": {"messages": []},
        "answer": {"role": "assistant", "content": "w7"},
    },
]


def answer_graph(*, size=200, scores=None, n_features=None, inputs=_INPUTS):
    """Return a graph whose ``answer_score`` is ``scores[id of the answer's first word]`` (word
    ``w7``: 0.035), and whose ``p_answer_fails`` is the request's ``p_cheap_fails``, 0 where that is
    unknown.
    """
    n_features = n_features or len(FACTS) + 2
    scores = np.arange(size) % 200 / 200 if scores is None else scores
    graph = GraphBuilder()
    tokens = [graph.input(name, np.int64, ["batch", name]) for name in inputs]
    features = graph.input("features", np.float32, ["batch", n_features])
    first = tokens[-2].take(0, axis=1)
    score = graph.constant(np.asarray(scores, np.float32)).take(first)
    is_there = tokens[-1].take(0, axis=1) > 0
    score = is_there.where(score, np.float32(NO_ANSWER))
    # Every input is read, as by a learned check.
    unread = sum((one.take(0, axis=1) for one in tokens[1:-2]), tokens[0].take(0, axis=1))
    graph.output(score + unread.cast(np.float32) * 0.0, "answer_score", ["batch"])
    cheap = features.take(n_features - 2, axis=1)
    graph.output(graph("IsNaN", cheap, dtype=bool).where(0.0, cheap), "p_answer_fails", ["batch"])
    return graph.build("by-hand").SerializeToString()


def facts_form(**changes):
    """Return the content of ``answer.json``: every fact has mean 0 and deviation 1, the first of
    them a weight.
    """
    facts = [
        {"name": name, "mean": 0.0, "sd": 1.0, "known": 1.0, "weight": 0.5 if not number else 0.0}
        for number, name in enumerate(FACTS)
    ]
    return {"facts_version": FACTS_VERSION, "n": 100, "facts": facts, **changes}


def hand_made_checker(scorer, rule, *, facts=None, **graph):
    """Return the check of a hand-made scorer."""
    made = AnswerScorer(
        load_session(answer_graph(**graph), name="answer.onnx"),
        AnswerFacts.parse(facts or facts_form()),
    )
    return AnswerChecker(made, scorer, rule, version="by-hand-1")


def write_with_check(source, folder, *, rule=None, policy=None, facts=None, words=None, **graph):
    """Write the bundle of one folder into another, with a check, and return it.

    ``words`` are scores of answers by their first word, in place of those by its id.
    """
    bundle = read_bundle(source)
    vocabulary = json.loads(bundle.files["tokenizer.json"])["model"]["vocab"]
    size = max([*vocabulary.values(), 199]) + 1
    manifest = bundle.manifest.as_dict(without={"files", "sha256"})
    rule = {"threshold": 0.5, **(rule or {})}
    form = {**bundle.policy.as_dict(), **(policy or {}), "answer": rule}
    if words is not None:
        scores = np.full(size, 0.2)
        scores[[vocabulary[word] for word in words]] = list(words.values())
        graph["scores"] = scores
    files = {
        **bundle.files,
        "policy.json": json.dumps(form).encode(),
        "answer.onnx": answer_graph(size=size, **graph),
        "answer.json": json.dumps(facts or facts_form()).encode(),
    }
    scratch = write_bundle(folder.with_name(f"{folder.name}-scratch"), files, manifest)
    checker = AnswerChecker.from_bundle(scratch, Scorer.from_bundle(scratch))
    rows = golden_answer_rows(checker, CASES)
    golden = "".join(json.dumps(row) + "\n" for row in rows).encode()
    return write_bundle(folder, {**files, "golden_answers.jsonl": golden}, manifest)
