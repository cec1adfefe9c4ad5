"""The curve of cost and quality with a disc on it that the reader moves, four readings beside it,
and how other ways to route compare.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from difficulty.evaluation.result import Evaluation
from difficulty.evaluation.tradeoff import Curve
from difficulty.evaluation.views import AlongShare
from difficulty.report.blocks import (
    Block,
    CurveExplorer,
    Extras,
    Fold,
    Picture,
    Row,
    Section,
    Table,
)
from difficulty.report.plot import Axis, Plot
from difficulty.report.wording import (
    bare_percent,
    cells_of,
    columns_with_values,
    figure_text,
    label_of,
    line_style,
    route_name,
    threshold_short,
)

EXPLORED: Final = (
    "frontier_share", "quality", "cost", "answers_worse", "gap_recovered", "saving",
    "saved_cost", "calls_avoided", "fallback_share", "routing_precision", "routing_recall",
    "risk", "cheap_route_precision",
)  # fmt: skip
"""Figures of the table behind the curve."""
_READ: Final = ("frontier_share", "quality", "cost", "answers_worse")
_READ_INSTEAD: Final = ("gap_recovered", "risk", "routing_precision", "routing_recall")
"""Where one of the four is not known."""
_AXES: Final = {
    "cost": "USD per 1,000 requests",
    "frontier_share": "share of requests sent to the frontier model, %",
}
_DRAWN: Final = ("random", "score", "oracle")
"""Other ways that are drawn; the table has all."""
_CLOSE: Final = 0.99
"""Share of the frontier model's quality that is "within 1 %"."""
_SHARE: Final = 0.3
_BESIDE: Final = {
    "quality": "quality",
    "quality_difference": "lead in quality",
    "cost": "USD per 1,000",
    "apgr": "APGR",
    "apgr_difference": "lead in APGR",
}
# Curves have a point at every hundredth; the table behind them shows every tenth.
_EVERY = 10


def explore_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return the curve, or why there is none, and how other ways compare."""
    curve = _curve_of(evaluation)
    blocks: list[Block | str] = []
    if curve is None:
        blocks.append("The curve is unknown: this evaluation holds no curve.")
    elif not _knows(curve, "quality"):
        why = evaluation.overall["quality"].note
        blocks.append(f"The curve cannot be drawn: quality is unknown, because {why}.")
        blocks.append(Fold("What each threshold does", (_tabulate(evaluation, curve),)))
    else:
        along = "cost" if _knows(curve, "cost") else "frontier_share"
        blocks.append(_say_how(evaluation, along))
        blocks.append(_explorer(evaluation, curve, along, ruled=_is_ruled(extras)))
        if along != "cost":
            why = evaluation.overall["cost"].note or "no request has prices and token counts"
            blocks.append(f"Cost is unknown ({why}), so that quality is drawn by share.")
    tables: list[Table] = [tabulate_baselines(evaluation)]
    if evaluation.baseline_curves and curve is not None:
        tables += _tabulate_curves(evaluation)
    blocks.append(Fold("Beside other ways to route", tuple(tables)))
    return Section.of("explore", "Cost and quality", *blocks, short="Curve")


def _curve_of(evaluation: Evaluation) -> Curve | None:
    """Return the curve along the threshold that moves: that of the check, where answers are
    checked.
    """
    return evaluation.answer_curve or evaluation.curve


def _moving(evaluation: Evaluation) -> float | None:
    """Return where the threshold that moves stands."""
    if evaluation.answer_curve is None:
        return evaluation.threshold
    return None if evaluation.answer is None else evaluation.answer.threshold


def _knows(curve: Curve, figure: str) -> bool:
    return figure in curve.figures and any(
        value is not None for value in curve.figures[figure].value
    )


def _is_ruled(extras: Extras) -> bool:
    return bool(extras.chosen and extras.chosen.rules)


def is_checked(evaluation: Evaluation) -> bool:
    """Return whether the policy checks answers."""
    return evaluation.answer is not None and evaluation.answer.is_used


def _say_how(evaluation: Evaluation, along: str) -> str:
    text = "Move the disc along the curve, by drag or arrow keys: further up is better, further"
    text += " left is cheaper." if along == "cost" else " left sends less."
    if evaluation.answer_curve is not None:
        text += " The threshold of the answer check moves; what the score sends at once stays."
    elif is_checked(evaluation):
        text += " The check's threshold stays as it is: what it sends on is counted in."
    return text


def _explorer(evaluation: Evaluation, curve: Curve, along: str, *, ruled: bool) -> CurveExplorer:
    picture = _draw(evaluation, curve, along, ruled=ruled)
    known = [
        place
        for place in range(len(curve.threshold))
        if curve.figures[along].value[place] is not None
        and curve.figures["quality"].value[place] is not None
    ]
    table = _tabulate(evaluation, curve, rows=known, picture=picture, along=along)
    moving = _moving(evaluation)
    chosen = curve.threshold.index(moving) if moving in curve.threshold else None
    start = known.index(chosen) if chosen in known else len(known) // 2
    presets = _presets(evaluation, curve, known, chosen)
    named = [name for name in EXPLORED if _knows(curve, name)]
    four = [name for name in (*_READ, *_READ_INSTEAD) if name in named][:4]
    return CurveExplorer(
        picture,
        start,
        start if chosen in known else None,
        "Share sent to the frontier model",
        tuple(presets),
        tuple(1 + named.index(name) for name in four),
        table,
    )


def _presets(
    evaluation: Evaluation, curve: Curve, known: Sequence[int], chosen: int | None
) -> Iterator[tuple[str, int]]:
    """Yield what the buttons go to."""
    if chosen is not None and chosen in known:
        yield "as chosen", known.index(chosen)
    best = evaluation.baselines.get("always_frontier", {}).get("quality")
    qualities = [curve.figures["quality"].value[place] or 0.0 for place in known]
    if best is not None and best.value is not None:
        along = "cost" if _knows(curve, "cost") else "frontier_share"
        prices = [curve.figures[along].value[place] or 0.0 for place in known]
        close = [n for n, quality in enumerate(qualities) if quality >= _CLOSE * best.value]
        if close:
            # Of equal prices the better quality.
            cheapest = min(close, key=lambda n: (prices[n], -qualities[n]))
            yield "cheapest within 1 % of quality", cheapest
    shares = [curve.figures["frontier_share"].value[place] or 0.0 for place in known]
    nearest = min(range(len(known)), key=lambda n: abs(shares[n] - _SHARE))
    if abs(shares[nearest] - _SHARE) < 0.02:
        yield "30 % sent", nearest


def _draw(evaluation: Evaluation, curve: Curve, along: str, *, ruled: bool) -> Picture:
    unit = 100.0 if along == "frontier_share" else 1.0
    xs = _scaled(curve.figures[along].value, unit)
    band = curve.figures["quality"]
    checked = is_checked(evaluation)
    # Without rules and check the router's own curve is that of the score.
    names = [name for name in _DRAWN if name != "score" or ruled or checked]
    others = {
        name: evaluation.baseline_curves[name]
        for name in names
        if {along, "quality"} <= set(evaluation.baseline_curves.get(name, ()))
    }
    ends = [
        (part[along].value if along in part else None, part["quality"].value)
        for name in ("always_cheap", "always_frontier")
        if "quality" in (part := evaluation.baselines.get(name, {}))
    ]
    every_x = [*xs, *(value for one in others.values() for value in _scaled(one[along], unit))]
    every_y = [*band.value, *band.low, *band.high, *(y for _, y in ends)]
    every_y += [value for one in others.values() for value in one["quality"]]
    x = (
        Axis.between(_AXES[along], 0.0, 100.0)
        if along == "frontier_share"
        else Axis.over(_AXES[along], every_x)
    )
    plot = Plot(x, Axis.over("mean quality, %", _scaled(every_y, 100.0)), movable=True)
    plot.band(xs, _scaled(band.low, 100.0), _scaled(band.high, 100.0), style="area router")
    for name, one in others.items():
        plot.line(_scaled(one[along], unit), _scaled(one["quality"], 100.0), style=line_style(name))
    plot.line(xs, _scaled(band.value, 100.0), style="line router")
    for (place, quality), words in zip(ends, ("all cheap", "all frontier"), strict=False):
        if place is not None and quality is not None:
            plot.point(unit * place, 100.0 * quality, style="point end")
            plot.label(unit * place, 100.0 * quality, words, before=words == "all frontier")
    router = "this policy, answers checked" if checked else "this router"
    legend = [("line router", router), ("area router", "95 % range")]
    legend += [(line_style(name), _name_of(name, checked=checked)) for name in others]
    return Picture(
        "curve",
        f"Quality against {'cost' if along == 'cost' else 'share sent'}",
        plot,
        tuple(legend),
        _describe(evaluation, along),
    )


def _scaled(values: Sequence[float | None], unit: float) -> list[float | None]:
    return [None if value is None else unit * value for value in values]


def _name_of(baseline: str, *, checked: bool) -> str:
    if checked and baseline == "score":
        return "the request's score alone, no check"
    return route_name(baseline)


def _describe(evaluation: Evaluation, along: str) -> str:
    cheap, frontier = (
        bare_percent(evaluation.baselines.get(name, {}).get("quality"))
        for name in ("always_cheap", "always_frontier")
    )
    text = f"Mean quality is {cheap} with everything on the cheap model and {frontier} with"
    text += " everything on the frontier model."
    if evaluation.threshold is None:
        return text
    place = figure_text(along, evaluation.overall[along])
    reached = f"sends {place}" if along == "frontier_share" else f"costs USD {place} per 1,000"
    quality = figure_text("quality", evaluation.overall["quality"])
    return f"{text} The threshold in use {reached} and has a quality of {quality}."


def _tabulate(
    evaluation: Evaluation,
    curve: Curve,
    *,
    rows: Sequence[int] | None = None,
    picture: Picture | None = None,
    along: str = "",
) -> Table:
    """Return every point of the curve, from the fewest sent to the most, and where it lies."""
    names = [name for name in EXPLORED if _knows(curve, name)]
    unit = 100.0 if along == "frontier_share" else 1.0

    def place_of(place: int) -> tuple[tuple[str, str], ...]:
        if picture is None:
            return ()
        plot = picture.plot
        x, y = curve.figures[along].value[place], curve.figures["quality"].value[place]
        assert x is not None
        assert y is not None
        # Reckoned here, so that the page's script needs no axis.
        return (("x", f"{plot.at_x(unit * x):.1f}"), ("y", f"{plot.at_y(100.0 * y):.1f}"))

    def row(place: int) -> Row:
        in_use = curve.threshold[place] == _moving(evaluation)
        cells = tuple(figure_text(name, curve.figures[name].at(place)) for name in names)
        return Row(
            threshold_short(curve.threshold[place]),
            cells,
            mark="in use" if in_use else "",
            strong=in_use,
            at=place_of(place),
        )

    shown = range(len(curve.threshold)) if rows is None else rows
    columns = ["threshold", *map(label_of, names)]
    return Table.of("What each threshold does", columns, [row(place) for place in shown])


def tabulate_baselines(evaluation: Evaluation) -> Table:
    """Return the figures of the policy beside those of other ways to route."""
    at = (
        ""
        if evaluation.threshold is None
        else ", each sending as many requests as the threshold does"
    )
    names = columns_with_values(_BESIDE, [evaluation.overall, *evaluation.baselines.values()])
    checked = is_checked(evaluation)
    # APGR reads the score and no rule: a row that has rules has none.
    own = "this policy" if evaluation.threshold is not None else "this score"
    rows = [Row(own, cells_of(evaluation.overall, names), strong=True)]
    rows += [
        Row(route_name(name), cells_of(estimates, names))
        for name, estimates in evaluation.baselines.items()
    ]
    of_score = {"apgr": "APGR, score alone", "apgr_difference": "lead in APGR, score alone"}
    heads = _BESIDE | (of_score if checked or evaluation.threshold is not None else {})
    return Table.of(f"Beside other ways to route{at}", ["routed", *(heads[n] for n in names)], rows)


def _tabulate_curves(evaluation: Evaluation) -> Iterator[Table]:
    """Yield the other ways at every tenth of the share sent, for each figure."""
    curves = {
        name: columns
        for name, columns in evaluation.baseline_curves.items()
        if {"frontier_share", "quality"} <= set(columns)
    }
    if not curves:
        return
    yield _tabulate_along("quality", curves)
    priced = {name: columns for name, columns in curves.items() if "cost" in columns}
    if priced:
        yield _tabulate_along("cost", priced)


def _tabulate_along(figure: str, curves: dict[str, AlongShare]) -> Table:
    shares = next(iter(curves.values()))["frontier_share"]
    scale, digits, unit = (100.0, 1, " %") if figure == "quality" else (1.0, 2, "")
    rows = [
        Row(
            f"{100.0 * shares[place]:.0f} %",
            tuple(f"{scale * one[figure][place]:.{digits}f}{unit}" for one in curves.values()),
        )
        for place in range(0, len(shares), _EVERY)
    ]
    what = "Quality" if figure == "quality" else "USD per 1,000"
    caption = f"{what} by share sent to the frontier, rules left out"
    return Table.of(caption, ["sent", *map(route_name, curves)], rows)
