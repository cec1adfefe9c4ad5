"""Reading the invented examples of ``tests/data/formats``."""

from difficulty.traffic.formats import find_format
from difficulty.traffic.reading.dialect import ReadOptions
from difficulty.traffic.reading.named_pair import ModelPair
from difficulty.traffic.rows import parse_row
from tests.conftest import REPOSITORY

EXAMPLES = REPOSITORY / "tests" / "data" / "formats"
PAIR = ReadOptions(pair=ModelPair(cheap=("small*",), frontier=("big-1",)))


def read_example(name, options=PAIR):
    """Return the format that is found for an example, and its rows."""
    found, layout, files = find_format(EXAMPLES / name, options=options)
    return found, [row for file in files for row in layout.rows(file)]


def told(rows):
    """Return what became of each row: its columns, why it is left out, or its problem."""
    return [row.left_out or row.problem or row.fields for row in rows]


def sample_of(row):
    """Return the sample of a row, whether it has an outcome or not."""
    return parse_row({"preference": "tie", **row.fields}, default_id="none").sample
