"""Which copies the search of near-duplicates ties to their originals, and what it ties wrongly.

    python -m benchmarks.near_duplicates --routellm RouteLLM --beside BFCL.jsonl.gz MATHS.jsonl.gz
    -o benchmarks/results/2026-11-29-near-duplicates

Texts are the different ones of RouteLLM's MMLU. *Tied*: of up to 600 copies that come after 2,500
texts, those that share a key with their original. *Tied wrongly*: of texts behind one header, or
behind three worked examples, those that share a key which they do not share without it. *Families*:
twenty texts with many copies, each with another word changed, after 3,000 texts.

*Planted at Jaccard 0.8*: of up to 600 copies, each changed until it shares 0.8 (0.78 to 0.82) of
its shingles with its original, those that the search ties to it. What a shingle is decides what 0.8
means, so three are told: the runs of 12 letters that the search itself compares, three words, and
five characters. Words are changed here and there, or some are written behind. *False ties*: of the
texts as they are, those that the search ties to one with which they share less than half of their
shingles of five characters, numbers counting as equal; every tie is looked at. What nearly the same
means was chosen on MMLU, GSM8K and the sample; the traffic of ``--beside`` had no part in it.
*Among rows from templates*: such copies of requests that stand anywhere among many of the sample's
generator, which fills a few hundred sentences: run after run is in more than 16 of them, and says
nothing any more.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lib.protocol import read_traffic, user_texts
from benchmarks.lib.results import write_results
from benchmarks.lib.shares import Share
from difficulty.engine import ENGINES, Engine, LocalEngine, open_engine
from difficulty.records import Message, Sample
from difficulty.traffic.duplicates import Grouper, comparable_text, place_together
from difficulty.traffic.near import NearSearch
from difficulty.traffic.near.letters import RUN, Letters
from tools.sample_traffic.generator import generate

N_TEXTS, N_COPIES = 2_500, 600
GENERATED = (5_000, 40_000, 240_000)
SAMPLE = Path(__file__).parents[1] / "data" / "sample.jsonl.gz"
PARTS = ("changes", "planted", "templates")
_BLOCK = 512
Rng = np.random.Generator
_WORDS = (
    "kindly please answer this carefully indeed thanks friend today maybe really quite nice morning"
    " evening hello there task below".split()
)
_HEADER = " ".join(
    [
        "Read the question below with great care, think about every option before you choose, and"
        " answer with the letter of the best option only. Do not explain the choice, do not repeat"
        " the question, and add no other words. If you are not certain, choose the option that is"
        " most likely. A wrong answer costs a point, a right one gains two."
    ]
    * 2
)[:538]


def _some_words(rng: Rng) -> str:
    return " ".join(rng.choice(_WORDS, size=6, replace=False))


def _word_changed(text: str, rng: Rng) -> str:
    words = text.split(" ")
    words[rng.integers(len(words))] = "zebra"
    return " ".join(words)


def _options_reordered(text: str, rng: Rng) -> str:
    question, *options = re.split(r"\n(?=[A-D]\. )", text)
    if len(options) != 4:
        return text
    last, *after = options[3].split("\nAnswer:")
    said = [option[3:] for option in (*options[:3], last)]
    moved = [f"{letter}. {said[n]}" for letter, n in zip("ABCD", rng.permutation(4), strict=True)]
    return "\n".join([question, *moved]) + "\nAnswer:" * bool(after)


def _numbers_changed(text: str, rng: Rng) -> str:
    return re.sub(r"\d+", lambda n: str(int(n[0]) % 1000 + int(rng.integers(1, 50))), text)


CHANGES: dict[str, Callable[[str, Rng], str]] = {
    "case": lambda text, rng: text.upper(),
    "punctuation left out": lambda text, rng: re.sub(r"[^\w\s]", "", text),
    "spaces for punctuation": lambda text, rng: re.sub(r"[^\w\s]", " ", text),
    "six words in front": lambda text, rng: f"{_some_words(rng)}: {text}",
    "six words behind": lambda text, rng: f"{text} {_some_words(rng)}.",
    "one word": _word_changed,
    "order of the options": _options_reordered,
    "numbers": _numbers_changed,
}


def keys_of(texts: Sequence[str], engine: Engine | None = None) -> list[tuple[str, ...]]:
    """Return the keys of each text, in the order they come; its own first."""
    samples = [
        Sample(id="x", messages=(Message("user", text),), cheap_quality=1.0) for text in texts
    ]
    with Grouper(engine=engine) as grouper:
        placements = place_together(samples, grouper)
    return [(placement.split_group, *placement.near_groups) for placement in placements]


def count_tied(
    texts: Sequence[str],
    change: Callable[[str, Rng], str],
    engine: Engine | None = None,
    *,
    seed: int = 0,
) -> Share:
    """Make copies and return how many are tied to their originals."""
    rng = np.random.default_rng(seed)
    base = [texts[row] for row in rng.permutation(len(texts))[:N_TEXTS]]
    changed = [(row, change(text, rng)) for row, text in enumerate(base)]
    copies = [(row, copy) for row, copy in changed if copy != base[row]][:N_COPIES]
    keys = keys_of([*base, *(copy for _, copy in copies)], engine)
    tied = [
        keys[row][0] in found for (row, _), found in zip(copies, keys[len(base) :], strict=True)
    ]
    return Share.of(sum(tied), len(tied))


def count_false(texts: Sequence[str], before: str, engine: Engine | None = None) -> Share:
    """Return how many texts behind one beginning are tied that are not without it."""
    first: dict[str, str] = {}
    own = keys_of(texts, engine)
    shared = keys_of([f"{before}\n\n{text}" for text in texts], engine)
    wrongly = [first.setdefault(a[0], b[0]) != b[0] for a, b in zip(shared, own, strict=True)]
    return Share.of(sum(wrongly), len(wrongly))


def count_family(
    texts: Sequence[str], size: int, engine: Engine | None = None, *, seed: int = 0
) -> Share:
    """Return how many of the copies of twenty texts are tied to their originals."""
    rng = np.random.default_rng(seed)
    base = [texts[row] for row in rng.permutation(len(texts))[:3_000]]
    copies = [(row, _word_changed(base[row], rng)) for row in range(20) for _ in range(size - 1)]
    copies = [copies[place] for place in rng.permutation(len(copies))]
    keys = keys_of([*base, *(copy for _, copy in copies)], engine)
    tied = [
        keys[row][0] in found for (row, _), found in zip(copies, keys[len(base) :], strict=True)
    ]
    return Share.of(sum(tied), len(tied))


def _runs(text: str) -> set[str]:
    said = Letters.of(text).text
    return {said[place : place + RUN] for place in range(len(said) - RUN + 1)}


def _three_words(text: str) -> set[str]:
    words = text.split()
    return {" ".join(words[place : place + 3]) for place in range(len(words) - 2)}


def _five_characters(text: str) -> set[str]:
    said = re.sub(r"\d+", "0", " ".join(text.split()))
    return {said[place : place + 5] for place in range(len(said) - 4)}


SHINGLES: dict[str, Callable[[str], set[str]]] = {
    "runs of 12 letters": _runs,
    "three words": _three_words,
    "five characters": _five_characters,
}


def jaccard(left: set[str], right: set[str]) -> float:
    """Return what two sets share, of all that is in either; 1 for two empty ones."""
    either = len(left | right)
    return len(left & right) / either if either else 1.0


def _words_changed(words: list[str], others: Sequence[str], rng: Rng) -> Iterator[list[str]]:
    """Yield words of which ever more are changed, here and there."""
    words = list(words)
    for place in rng.permutation(len(words)):
        words[place] = others[rng.integers(len(others))]
        yield words


def _words_behind(words: list[str], others: Sequence[str], rng: Rng) -> Iterator[list[str]]:
    """Yield words with ever more behind them."""
    words = list(words)
    for _ in range(len(words)):
        words.append(others[rng.integers(len(others))])
        yield words


PLANTED = {"words changed": _words_changed, "words behind": _words_behind}


def plant_pairs(
    texts: Sequence[str], shingles: str, change: str, *, seed: int = 0
) -> list[tuple[int, str]]:
    """Return rows of texts with a copy each, at a Jaccard similarity of 0.78 to 0.82."""
    rng = np.random.default_rng(seed)
    # A word comes as often as in the texts, so copies share phrases with others too.
    others = [word for text in texts for word in text.split()]
    pairs = []
    for row, text in enumerate(texts):
        own = SHINGLES[shingles](text)
        for words in PLANTED[change](text.split(), others, rng):
            copy = " ".join(words)
            similar = jaccard(own, SHINGLES[shingles](copy))
            if similar <= 0.82:
                if similar >= 0.78 and len(own) >= 20:
                    pairs.append((row, copy))
                break
        if len(pairs) == N_COPIES:
            break
    return pairs


def search(texts: Sequence[str], engine: Engine | None = None) -> list[list[int]]:
    """Return for each text the earlier ones that the search finds near to it."""
    searching = NearSearch(engine or LocalEngine())
    for start in range(0, len(texts), _BLOCK):
        searching.begin(texts[start : start + _BLOCK])
    near = list(searching.find())
    searching.close()
    return near


def count_planted(
    texts: Sequence[str], shingles: str, change: str, engine: Engine | None = None
) -> Share:
    """Return how many planted copies are tied to their originals."""
    rng = np.random.default_rng(2)
    base = [comparable(texts[row]) for row in rng.permutation(len(texts))[:N_TEXTS]]
    pairs = plant_pairs(base, shingles, change)
    near = search([*base, *(copy for _, copy in pairs)], engine)[len(base) :]
    tied = [row in earlier for (row, _), earlier in zip(pairs, near, strict=True)]
    return Share.of(sum(tied), len(tied))


def count_planted_among(
    size: int, shingles: str, engine: Engine | None = None, *, seed: int = 2
) -> Share:
    """Return how many planted copies are tied to their originals that stand among so many generated
    requests, all before the copies.
    """
    texts = list(dict.fromkeys(map(comparable, islice(_generated(), size))))
    rows = np.random.default_rng(seed).permutation(len(texts))[:N_TEXTS].tolist()
    pairs = plant_pairs([texts[row] for row in rows], shingles, next(iter(PLANTED)))
    near = search([*texts, *(copy for _, copy in pairs)], engine)[len(texts) :]
    tied = [rows[row] in earlier for (row, _), earlier in zip(pairs, near, strict=True)]
    return Share.of(sum(tied), len(tied))


def _generated() -> Iterator[str]:
    """Yield what users say in requests of the sample's generator, without end."""
    for row in generate(10_000_000, rng=np.random.default_rng(2026)):
        yield "\n\n".join(
            message["content"] for message in row["messages"] if message["role"] == "user"
        )


def count_false_ties(texts: Sequence[str], engine: Engine | None = None) -> Share:
    """Return how many texts are tied to one that is not alike."""
    said = [comparable(text) for text in texts]
    near = search(said, engine)
    shingles = {row: _five_characters(said[row]) for row, found in enumerate(near) if found}
    shingles |= {row: _five_characters(said[row]) for found in near for row in found}
    wrong = [
        any(jaccard(shingles[row], shingles[each]) < 0.5 for each in found)
        for row, found in enumerate(near)
    ]
    return Share.of(sum(wrong), len(wrong))


def comparable(text: str) -> str:
    """Return a text as the search is given it."""
    return comparable_text([("user", text)])


def measure_planted(
    corpora: Mapping[str, Sequence[str]], engine: Engine | None = None
) -> dict[str, dict[str, Share]]:
    """Return what is tied of planted pairs, and what is tied wrongly."""
    return {
        "planted at Jaccard 0.8": {
            f"{corpus}: {change}, {shingles}": count_planted(texts, shingles, change, engine)
            for corpus, texts in corpora.items()
            for change in PLANTED
            for shingles in SHINGLES
        },
        "false ties": {
            f"{corpus}: {len(texts):,} texts": count_false_ties(texts, engine)
            for corpus, texts in corpora.items()
        },
    }


def measure(texts: Sequence[str], engine: Engine | None = None) -> dict[str, dict[str, Share]]:
    """Return every figure of the page."""
    shuffled = [texts[row] for row in np.random.default_rng(1).permutation(len(texts))]
    shots = "\n\n".join(f"{text} B" for text in texts[:: max(len(texts) // 3, 1)][:3])
    begun = {f"one header, {len(_HEADER)} characters": _HEADER, "three worked examples": shots}
    short = [text.split("\n")[0][:60] for text in shuffled]
    short = list(dict.fromkeys(line for line in short if len(line) == 60))[:1_000]
    wrongly = {
        f"{n:,} questions behind {name}": count_false(shuffled[:n], before, engine)
        for name, before in begun.items()
        for n in (1_000, 4_000)
    }
    wrongly["1,000 lines of 60 characters behind the header"] = count_false(short, _HEADER, engine)
    return {
        "tied": {name: count_tied(texts, change, engine) for name, change in CHANGES.items()},
        "tied wrongly": wrongly,
        "families": {
            f"{size} copies": count_family(texts, size, engine) for size in (10, 17, 30, 100)
        },
    }


def main() -> None:
    """Measure and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--routellm", type=Path, required=True, help="checkout of RouteLLM")
    parser.add_argument(
        "--beside", type=Path, nargs="*", default=(), help="further traffic to plant copies in"
    )
    parser.add_argument("--engine", choices=ENGINES, help="what searches; default: this process")
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, default=PARTS, help="parts of the page; default: all"
    )
    parser.add_argument(
        "--rows",
        type=int,
        nargs="+",
        default=GENERATED,
        help="of the sample's generator, for templates",
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="path of the results without suffix"
    )
    arguments = parser.parse_args()
    evals = arguments.routellm / "routellm" / "evals"
    corpora = {
        name.upper(): list(dict.fromkeys(user_texts(read_traffic(evals / name))))
        for name in ("mmlu", "gsm8k")
    }
    with nullcontext() if arguments.engine is None else open_engine(arguments.engine) as engine:
        figures = {}
        if "changes" in arguments.only:
            figures |= measure(corpora["MMLU"], engine)
        if "planted" in arguments.only:
            beside = {
                path.name.partition("__")[0].partition(".")[0]: list(
                    dict.fromkeys(user_texts(read_traffic(path)))
                )
                for path in (SAMPLE, *arguments.beside)
            }
            figures |= measure_planted(corpora | beside, engine)
        if "templates" in arguments.only:
            figures["planted at Jaccard 0.8 among rows from templates"] = {
                f"{size:,} rows: {shingles}": count_planted_among(size, shingles, engine)
                for size in arguments.rows
                for shingles in list(SHINGLES)[:2]
            }
    option = "" if len(arguments.only) == len(PARTS) else f" --only {' '.join(arguments.only)}"
    option += (
        f" --beside {' '.join(path.name for path in arguments.beside)}" if arguments.beside else ""
    )
    if tuple(arguments.rows) != GENERATED:
        option += f" --rows {' '.join(map(str, arguments.rows))}"
    option += f" --engine {arguments.engine}" if arguments.engine else ""
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"python -m benchmarks.near_duplicates --routellm RouteLLM{option} -o"
        f" {arguments.out}",
        "figures": {
            part: {name: str(share) for name, share in shares.items()}
            for part, shares in figures.items()
        },
    }
    write_results(arguments.out, results, as_markdown(results))


def as_markdown(results: dict[str, Any]) -> str:
    """Return the page."""
    lines = [f"# Near-duplicates, {results['date']}", "", "In brackets exact 95 % intervals."]
    for part, shares in results["figures"].items():
        lines += ["", f"| {part} | share |", "| --- | --- |"]
        lines += [f"| {name} | {share} |" for name, share in shares.items()]
    return "\n".join([*lines, "", "Made by", "", f"    {results['command']}", ""])


if __name__ == "__main__":
    main()
