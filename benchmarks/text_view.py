"""What the text view should hold: system messages or not, and which end of a long request.

    python -m benchmarks.text_view tools.parquet mmlu.parquet

Each file is traffic that ``difficulty ingest`` wrote. Recipe ``fast`` is trained on four folds (80
% to fit, 20 % to calibrate, by group) and scores the fifth, as :mod:`benchmarks.lib.protocol` has
it; at most 3,000 requests of a file are used. Printed are APGR with its interval and, paired, the
difference to the view as it is. Tasks are not told.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.lib.protocol import BenchmarkSet, apgr, difference, draw, estimate
from difficulty.encoders.base import Encoder
from difficulty.model.labelled import LabelledTokens
from difficulty.recipe import Recipe
from difficulty.text import TextView, render
from difficulty.tokens import RequestTokenizer
from difficulty.traffic.table import Traffic
from difficulty.training.assemble import build_model
from difficulty.training.shipped import find_encoder, find_recipe

MOST_REQUESTS = 3_000
LIMITS = (64, 128)
PARTS = ("fit", "calibration")
Ids = list[list[int]]


def main() -> None:
    """Compare the views on each file and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("traffic", type=Path, nargs="+")
    recipe = find_recipe("fast")
    encoder = find_encoder(recipe.features)
    for path in parser.parse_args().traffic:
        traffic = Traffic.read(path)
        some = np.sort(np.random.default_rng(0).permutation(len(traffic))[:MOST_REQUESTS])
        compare(traffic.select(some), recipe, encoder, name=path.stem)


def compare(traffic: Traffic, recipe: Recipe, encoder: Encoder, *, name: str) -> None:
    """Print one line for each view of some traffic."""
    data = BenchmarkSet.of(traffic)
    views = views_of(
        traffic,
        RequestTokenizer.from_file(encoder.tokenizer_path, max_tokens=recipe.text.max_tokens),
    )
    statistics = {
        view: apgr(out_of_fold(ids, traffic, data, recipe, encoder), data, data.rows())
        for view, ids in views.items()
    }
    first = next(iter(statistics))
    compared = statistics | {
        f"{view} -": difference(statistics[view], statistics[first])
        for view in statistics
        if view != first
    }
    draws = draw(compared, data.groups)
    for view in statistics:
        value, against = (
            estimate(compared[key], draws[key], n=len(data), n_rows=len(data))
            if key in compared
            else ""
            for key in (view, f"{view} -")
        )
        print(f"{name[:24]:24}  {view:28}  {value}  {against}", flush=True)


def views_of(traffic: Traffic, tokenizer: RequestTokenizer) -> dict[str, Ids]:
    """Return the token ids of all requests in each view, the view as it is first."""
    shorten = TextView()
    whole = tokenizer_ids(tokenizer, [shorten(messages).text for messages in traffic.messages()])
    views = {"view 1": whole}
    if any(message["role"] == "system" for messages in traffic.messages() for message in messages):
        texts = [
            render([message for message in messages if message["role"] != "system"])
            for messages in traffic.messages()
        ]
        views["without system messages"] = tokenizer_ids(tokenizer, texts)
    for limit in LIMITS:
        if sum(len(row) > limit for row in whole) >= len(whole) // 10:
            views |= {
                f"{limit} tokens, {kept}": [cut(row, limit) for row in whole]
                for kept, cut in CUTS.items()
            }
    return views


def tokenizer_ids(tokenizer: RequestTokenizer, texts: list[str]) -> Ids:
    """Return token ids."""
    return [row.ids for row in tokenizer.encode_batch(texts)]


def head_and_tail(ids: list[int], limit: int) -> list[int]:
    """Return both ends of a request."""
    return ids if len(ids) <= limit else [*ids[: limit - limit // 2], *ids[len(ids) - limit // 2 :]]


CUTS: dict[str, Callable[[list[int], int], list[int]]] = {
    "head and tail": head_and_tail,
    "head": lambda ids, limit: ids[:limit],
    "tail": lambda ids, limit: ids[-limit:],
}


def out_of_fold(
    ids: Ids, traffic: Traffic, data: BenchmarkSet, recipe: Recipe, encoder: Encoder
) -> NDArray[np.float64]:
    """Return the score of each request by a model that did not see its fold."""
    splits, score = traffic.splits((0.8, 0.2, 0.0), recipe.seed), np.zeros(len(data))
    for number in np.unique(data.fold):
        fit, calibration = (
            _labelled(ids, traffic, np.flatnonzero((data.fold != number) & (splits == split)))
            for split in PARTS
        )
        model = build_model(recipe, encoder, "benefit").fit(fit, calibration)
        asked = np.flatnonzero(data.fold == number)
        score[asked] = model.predict([ids[row] for row in asked]).difficulty_score
    return score


def _labelled(ids: Ids, traffic: Traffic, rows: NDArray[np.intp]) -> LabelledTokens:
    groups = traffic.split_groups
    return LabelledTokens(
        ids=[ids[row] for row in rows],
        outcomes=traffic.outcomes[rows],
        groups=[groups[row] for row in rows],
    )


if __name__ == "__main__":
    main()
