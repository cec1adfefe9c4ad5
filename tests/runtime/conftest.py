"""Routers of the small bundle, and of graphs made by hand."""

import json
from copy import copy
from dataclasses import replace

import numpy as np
import pytest

from difficulty.bundle import Policy, read_bundle
from difficulty.needs import Eligibility
from difficulty.runtime import Router, Scorer
from difficulty.runtime.scorer import EarlyScorer
from difficulty.runtime.session import load_session
from difficulty.tensors import GraphBuilder
from difficulty.text import TextView
from difficulty.tokens import RequestTokenizer
from tests.data.make_bundle import POLICY
from tests.fakes import word_tokenizer


@pytest.fixture(scope="session")
def small(journey):
    """The bundle of the journey, read once."""
    return read_bundle(journey.bundle)


@pytest.fixture(scope="session")
def router(small):
    return Router.from_bundle(small)


@pytest.fixture(scope="session")
def scorer(router):
    return router.scorer


@pytest.fixture(scope="session")
def texts(journey):
    """Sixty requests of the sample, as messages."""
    return [json.loads(line)["messages"] for line in journey.source.read_text().split("\n")[:60]]


def first_id_graph(
    *,
    outputs=("difficulty_score", "p_cheap_fails"),
    inputs=("input_ids", "attention_mask"),
    table=None,
):
    """Return a graph whose every output is ``table[first token id]``: any score can be had by
    choosing a word.
    """
    graph = GraphBuilder()
    table = np.arange(200) / 200 if table is None else np.asarray(table)
    ids, *_ = (graph.input(name, np.int64, ["batch", "tokens"]) for name in inputs)
    score = graph.constant(table.astype(np.float32)).take(ids.take(0, axis=1))
    for name in outputs:
        graph.output(graph("Identity", score), name, ["batch"])
    return graph.build("by-hand").SerializeToString()


UNLIMITED = {"cheap": {"context_tokens": 10**12}}
"""Eligibility of a cheap model that takes a text of any length."""


def unlimited(router):
    """Return a router of the same bundle whose cheap model takes a text of any length."""
    other = copy(router)
    other.policy = replace(router.policy, eligibility=Eligibility.parse(UNLIMITED))
    other._policy_unchecked = other.policy
    return other


def hand_made(policy=None, *, early=None, **graph):
    """Return a router over the tokenizer of 200 words: word ``w7`` scores 7/200."""
    tokenizer = RequestTokenizer(word_tokenizer(), max_tokens=64)
    scorer = Scorer(load_session(first_id_graph(**graph)), tokenizer, TextView(1, max_chars=8192))
    return Router(scorer, Policy.parse(POLICY | (policy or {})), version="by-hand-1", early=early)


def hand_made_early(*, outputs=("early_score",), **graph):
    """Return an early scorer by the first id."""
    return EarlyScorer(
        load_session(first_id_graph(outputs=outputs, **graph), name="early.onnx"), most_tokens=65
    )
