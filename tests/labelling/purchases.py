"""What tests of a purchase share: traffic without outcomes, prices, and the command's options."""

from benchmarks.lib.model_upstream import PRICE, unit
from difficulty.economics.prices import PriceList, TokenPrice
from difficulty.labelling.buying import Patience
from difficulty.stages.ingest import ingest
from difficulty.stages.labelling.label_models import LabelOptions
from tests.journey import write_rows

PRICES = PriceList(
    date="2026-11-01",
    **{role: TokenPrice(input=read, output=written) for role, (read, written) in PRICE.items()},
)
HASTE = Patience(first_wait_s=0.01, longest_wait_s=0.05)
"""No test waits for long."""
PRICES_TOML = "date = 2026-11-01\n" + "".join(
    f"[{role}]\ninput = {read}\noutput = {written}\n" for role, (read, written) in PRICE.items()
)


def requests(n, *, texts=None):
    """Return rows without outcomes, all different."""
    words = "price offer ticket report summary table letter contract invoice refund".split()
    return [
        {
            "id": f"r{number}",
            "prompt": texts[number]
            if texts
            else f"Question {number} on {words[number % 10]} {unit(number):.12f}: what is due?",
        }
        for number in range(n)
    ]


def make_traffic(folder, rows, name="traffic"):
    """Ingest rows and return the file."""
    source = write_rows(folder / f"{name}.jsonl", rows)
    ingest([source], folder / f"{name}.parquet", near_duplicates=False, allow_rejects=True)
    return folder / f"{name}.parquet"


def options(url, **changes):
    """Return the usual options of a purchase from a server on loopback."""
    usual = {
        "cheap": "cheap",
        "frontier": "frontier",
        "judge": "judge",
        "budget_usd": 5.0,
        "max_tokens": 100,
        "judge_max_tokens": 60,
        "timeout_s": 60.0,
        "base_urls": dict.fromkeys(("cheap", "frontier", "judge"), url),
    }
    return LabelOptions(**(usual | changes))
