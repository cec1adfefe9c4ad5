"""Compare: two bundles and labelled traffic -> which is better, by how much, and where."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from difficulty.bundle import read_bundle
from difficulty.errors import TooFewSamplesError
from difficulty.evaluation.decision.side_by_side import (
    SideBySide,
    set_side_by_side,
    side_by_side_text,
    with_notes,
)
from difficulty.metrics.bootstrap import STANDARD, Resampling
from difficulty.records import Prices
from difficulty.report.pair_page import pair_html, pair_markdown
from difficulty.stages.judging import catch_rate, label_settings, weighed, without_forms
from difficulty.stages.promote import contend, unseen_rows
from difficulty.storage import on_urls, whole_file
from difficulty.text import quantity_text
from difficulty.traffic.table import Traffic
from difficulty.training.run import notes_of

SAME_BUNDLE = "A and B are one and the same bundle: pass two to compare."
FILES = ("compare.json", "compare.html", "compare.md")


@on_urls
def compare_bundles(
    a_path: Path,
    b_path: Path,
    traffic_path: Path,
    out: Path,
    *,
    prices: Prices | None = None,
    resampling: Resampling = STANDARD,
    progress: Callable[[str], None] | None = None,
) -> SideBySide:
    """Judge two bundles on the requests that neither was made from, as routers would decide them,
    and write ``compare.json``, ``compare.html`` and ``compare.md`` into ``out``.

    Raises
    ------
    TrafficError
        If a threshold was chosen on this very traffic.
    TooFewSamplesError
        If nothing is left to judge.
    """
    say = progress or (lambda _: None)
    say("reading")
    a, b = read_bundle(a_path), read_bundle(b_path)
    traffic = Traffic.read(traffic_path)
    rows, notes, warnings = unseen_rows(traffic, A=a, B=b)
    if not len(rows):
        raise TooFewSamplesError(
            f"comparing needs requests that neither bundle was made from: got none of"
            f" {len(traffic):,}. Pass other traffic."
        )
    graded, ungraded = without_forms(traffic.select(rows), b)
    picked, logged = weighed(graded, label_settings(b))
    # One catch rate for both: a bundle that claims a better validator must not win by the claim.
    caught = catch_rate(a.policy.fallback)
    say(f"deciding {quantity_text(len(picked), 'request')} by both")
    one, other = (contend(each, picked, prices, caught, sliced=True) for each in (a, b))
    say("comparing")
    result = set_side_by_side(
        one, other, resampling, names=(a.label, b.label), traffic=traffic_path.name
    )
    pairs = {
        bundle.label: (bundle.policy.cheap_model, bundle.policy.frontier_model) for bundle in (a, b)
    }
    if len({*pairs.values()}) > 1:
        warnings.append(
            "The bundles route between different models, and the outcomes of the traffic stand for"
            " both pairs: compare bundles of one pair."
        )
    if a.manifest_bytes == b.manifest_bytes:
        warnings.append(SAME_BUNDLE)
    result = with_notes(result, [*notes, *ungraded, *notes_of(logged)], warnings)
    out.mkdir(parents=True, exist_ok=True)
    texts = (side_by_side_text(result), pair_html(result), pair_markdown(result))
    for name, text in zip(FILES, texts, strict=True):
        # The name of the traffic file may hold bytes that are no UTF-8.
        with whole_file(out / name, errors="replace") as file:
            file.write(text)
    return result
