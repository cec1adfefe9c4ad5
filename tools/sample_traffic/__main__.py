"""Write the sample traffic again: ``python -m tools.sample_traffic -o
data/sample.jsonl.gz``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tools.sample_traffic.generator import SAMPLE_SEED, SAMPLE_SIZE, write_sample


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the file; nothing is printed unless something is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.sample_traffic", description="Write synthetic labelled traffic."
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="file to write, JSON lines packed with gzip"
    )
    parser.add_argument(
        "-n", type=int, default=SAMPLE_SIZE, help="number of requests (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=SAMPLE_SEED, help="seed (default %(default)s)")
    chosen = parser.parse_args(arguments)
    write_sample(chosen.out, n=chosen.n, seed=chosen.seed)


if __name__ == "__main__":
    main()
