"""The page and the picture of the latency benchmark, made from its JSON alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

__all__ = ["as_markdown", "plot"]

OURS, OTHERS = (
    "#c2410c",
    ("#1d4ed8", "#0d9488", "#15803d", "#7c3aed", "#0891b2", "#be185d", "#6b7280"),
)
CALLERS = (
    "| callers | way | requests a second | processor ms | p50 ms | p99 ms | loop late, p99 ms |"
)
ALONE = "| what | call | p50 ms | p99 ms | p99 / p50 | times the tokenizer |"
HEADER = (
    "| what | call | tokens | p50 ms | p99 ms | p99 / p50 | processor ms | times the tokenizer |"
)


def as_markdown(results: Mapping[str, Any], *, picture: str) -> str:
    """Return the page."""
    lines = [
        f"# Latency of one decision ({results['date']})",
        "",
        (
            f"{results['machine']}; Python {results['python']}; one thread. Made by `python -m"
            f" benchmarks.latency`: {results['rounds']} rounds of {results['texts']} texts of each"
            " length, all contenders in turns. The machine was shared: read ratios (of processor"
            " time, median over rounds) before milliseconds; p99 is wall time and holds what other"
            " processes took."
        ),
        "",
        f"![Median milliseconds of a decision by tokens]({picture})",
        "",
        HEADER,
        "| --- " * 8 + "|",
    ]
    for row in results["single"]:
        spread = row["p99_ms"] / row["p50_ms"]
        lines.append(
            f"| {row['contender']} | {row['call']} | {row['tokens']} | {row['p50_ms']:.3f} |"
            f" {row['p99_ms']:.3f} | {spread:.1f} | {row['processor_ms']:.3f} |"
            f" {row['times_tokenizer']:.2f} |"
        )
    lines += [
        "",
        (
            "Routers without their encoder look up given embeddings; add MiniLM's time for what a"
            " decision of theirs costs."
        ),
        "",
    ]
    lines += [
        "## One contender at a time",
        "",
        f"At {results['alone_tokens']} tokens, each call after others of its kind.",
        "",
        ALONE,
        "| --- " * 6 + "|",
    ]
    for row in results["alone"]:
        times = (
            f"{row['p50_ms']:.3f} | {row['p99_ms']:.3f} | {row['p99_ms'] / row['p50_ms']:.1f} |"
            f" {row['times_tokenizer']:.2f}"
        )
        lines.append(f"| {row['contender']} | {row['call']} | {times} |")
    lines += [
        "",
        "## Batches",
        "",
        "| what | requests | requests a second of one core |",
        "| --- " * 3 + "|",
    ]
    lines += [
        f"| {name} | {row['requests']:,} | {row['per_second']:,} |"
        for name, row in results["batches"].items()
    ]
    lines += ["", "## Concurrent callers in one event loop", "", CALLERS, "| --- " * 7 + "|"]
    for row in results["callers"]:
        times = f"{row['p50_ms']:.2f} | {row['p99_ms']:.2f} | {row['loop_late_p99_ms']:.1f}"
        lines.append(
            f"| {row['callers']} | {row['way']} | {row['per_second']:,} | {row['processor_ms']:.3f}"
            f" | {times} |"
        )
    lines += [
        "",
        (
            "A caller asks again when it has its decision. The last column: how late the loop comes"
            " to what else it serves, once in a hundred."
        ),
    ]
    lines += [
        "",
        "## Start and memory",
        "",
        "| process | loaded and first answer, s | resident then, MB |",
        "| --- " * 3 + "|",
    ]
    lines += [
        f"| {name} | {row['start_s']:.2f} | {row['resident_mb']:.0f} |"
        for name, row in results["processes"].items()
    ]
    lines += [
        "",
        "From process start, medians in s: "
        + ", ".join(f"{name} {value:.2f}" for name, value in results["cold_start"].items())
        + ".",
    ]
    if results["install_mb"] is not None:
        lines += [
            "",
            (
                f"The base install (`pip install .`) adds {results['install_mb']:.0f} MB to an"
                " empty environment."
            ),
        ]
    long = ", ".join(f"{name} {value:g}" for name, value in results["long_prompt_ms"].items())
    lines += ["", f"Long requests, `fast`, processor ms: {long}."]
    if results["left_out"]:
        lines += [
            "",
            "Left out: "
            + "; ".join(f"{name} ({reason})" for name, reason in results["left_out"].items())
            + ".",
        ]
    return "\n".join(lines) + "\n"


def plot(results: Mapping[str, Any], path: Path) -> None:
    """Draw median milliseconds against tokens, both on log scales."""
    series: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for row in results["single"]:
        if (row["contender"], row["call"]) != ("accurate", "tokenizer") and "new" not in row[
            "call"
        ]:
            series.setdefault((row["contender"], row["call"]), []).append(
                (row["tokens"], row["p50_ms"])
            )
    figure = Figure(figsize=(9.0, 5.2), layout="constrained")
    axes = figure.subplots()
    others = iter(OTHERS)
    for (contender, call), points in series.items():
        ours = contender in ("fast", "accurate") and call == "decide"
        name = (
            "tokenizer alone"
            if call == "tokenizer"
            else f"{contender}: decide"
            if ours
            else contender
        )
        colour = "#111827" if call == "tokenizer" else OURS if ours else next(others)
        style = "-" if ours else "--" if call != "tokenizer" else ":"
        axes.plot(
            *zip(*points, strict=True), style, color=colour, marker="o", markersize=3, label=name
        )
    axes.set(
        xscale="log", yscale="log", xlabel="tokens of the request", ylabel="milliseconds, median"
    )
    axes.set_xticks([16, 64, 256, 512], ["16", "64", "256", "512"])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    with rc_context({"svg.hashsalt": "difficulty", "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None})
