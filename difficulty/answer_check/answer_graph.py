"""From a fitted check to ``answer.onnx``.

Inputs ``input_ids`` and ``attention_mask`` are the request as the scorer sees it, ``answer_ids``
and ``answer_mask`` the answer's text by the same tokenizer (int64, batch x tokens, padding at the
end), ``features`` the facts and what the scorer says of the request (float32, NaN where unknown).
Outputs ``p_answer_fails`` and ``answer_score`` (float32, batch). The request's ids are not read by
checks of this version: what the scorer says of it stands among the features.
"""

from __future__ import annotations

import numpy as np
import onnx

from difficulty.answer_check.check import EDGE, AnswerCheck, AnswerHeads
from difficulty.answer_check.fact_heads import CLIP, UNKNOWN
from difficulty.channels.tree_arrays import tree_attributes
from difficulty.export.graph import pieces
from difficulty.tensors import GraphBuilder, RequestTensors, Tensor


def build_answer_graph(check: AnswerCheck) -> onnx.ModelProto:
    """Return the ONNX form of a fitted check."""
    graph = GraphBuilder()
    for name in ("input_ids", "attention_mask"):
        graph.input(name, np.int64, ["batch", "tokens"])
    answers = RequestTensors(
        graph,
        vocabulary=check.vocabulary_size,
        n_tasks=0,
        names=("answer_ids", "answer_mask"),
        tokens="answer_tokens",
    )
    n_facts = len(check.surrogate_)
    features = graph.input("features", np.float32, ["batch", n_facts + 2])
    facts, request = features.cut(0, n_facts), features.cut(n_facts, None)
    means = check.means_.astype(np.float32)
    request = request.is_nan().where(means, request)
    logits = _logits(check, answers, facts, request)
    calibrator = check.calibrator_
    p_fails = (logits * calibrator.slope + calibrator.intercept).sigmoid()
    if len(calibrator.knots) > 2:
        p_fails = pieces(p_fails, 1, [(0, calibrator)])
    score = p_fails
    if check.target == "benefit":
        score = (p_fails - request.cut(1, 2) + 1.0) * 0.5
    for name, value in (("p_answer_fails", p_fails), ("answer_score", score)):
        graph.output(value.squeeze(1), name, ["batch"])
    return graph.build("answer_check")


def _logits(check: AnswerCheck, answers: RequestTensors, facts: Tensor, request: Tensor) -> Tensor:
    """Return what is calibrated, of shape (batch, 1)."""
    if check.start is None:
        said = request.cut(0, 1).clip(EDGE, 1.0 - EDGE)
        first = said.log() - (said * -1.0 + 1.0).log()
    else:
        earlier = check.start.calibrator_
        first = _logits(check.start, answers, facts, request) * earlier.slope + earlier.intercept
    columns = [first]
    if check.heads_ is not None:
        columns += _heads(check, check.heads_, answers, facts)
    stack = check.stack_
    whole = answers.graph.concat(columns, axis=1)
    return whole.affine(stack.coefficients[:, None], np.array([stack.intercept]))


def _heads(
    check: AnswerCheck, heads: AnswerHeads, answers: RequestTensors, facts: Tensor
) -> list[Tensor]:
    """Return the logit of each head, of shape (batch, 1)."""
    graph, missing = answers.graph, facts.is_nan()
    words = check.ngrams.export_heads(answers, heads.idf, [heads.words])
    scaling = heads.scaling
    values = (facts - scaling.mean.astype(np.float32)) * scaling.scale.astype(np.float32)
    values = missing.where(0.0, values).clip(-CLIP, CLIP)
    if len(scaling.unknown):
        unknown = missing.take(scaling.unknown.tolist(), axis=1).cast(np.float32)
        values = graph.concat([values, unknown], axis=1)
    network = heads.network
    hidden = values.affine(network.inner, network.bias).at_least(0.0)
    columns = [
        words.columns.affine(words.weights, words.bias),
        values.affine(heads.facts.coefficients[:, None], np.array([heads.facts.intercept])),
        hidden.affine(network.outer[:, None], np.array([network.intercept])),
    ]
    if heads.trees is not None:
        known = missing.where(float(UNKNOWN), facts)
        columns.append(known.trees(tree_attributes([heads.trees], np.arange(len(scaling.mean)))))
    return columns
