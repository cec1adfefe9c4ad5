"""2,000 damaged traffic files: exit 0, 1 or 2, one line that says why, nothing half-written."""

import gzip
import io
import json
import random
import re
import sys
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from difficulty.cli import main
from tests.attack.conftest import sized
from tests.events import event_of
from tests.journey import sample_rows

pytestmark = pytest.mark.slow

FILES = 2_000
ODD = (
    None, "", 0, -1, 2**63, 10**400, 1e308, float("nan"), float("inf"), True, [], {}, [[]],
    "\ud800", "\x00", "\x1b[2J", "9" * 5_000, "x" * 100_000, {"role": 1}, [{"role": "user"}],
    [{"role": "user", "content": [{"type": "text", "text": 5}]}], "0.5", "1,5", "2026-13-45",
)  # fmt: skip
TERMINAL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


def bases():
    """Return whole files by their names."""
    rows = sample_rows(20)
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    cells = [{**row, "messages": json.dumps(row["messages"])} for row in rows]
    names = list(cells[0])
    csv = ",".join(names) + "\n"
    for row in cells:
        quoted = (str("" if row[name] is None else row[name]).replace('"', '""') for name in names)
        csv += ",".join(f'"{cell}"' for cell in quoted) + "\n"
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(cells), table)
    text = ({"role": "user", "content": "Hello"},)
    log = "".join(
        json.dumps(event_of(n, messages=text).as_dict(), default=str) + "\n" for n in range(20)
    )
    return {
        "rows.jsonl": lines,
        "rows.csv": csv.encode(),
        "rows.parquet": table.getvalue(),
        "rows.jsonl.gz": gzip.compress(lines),
        "rows.csv.gz": gzip.compress(csv.encode()),
        "log.jsonl": log.encode(),
    }


def damaged(content, chance):
    """Return a file with bytes flipped, cut, put in, left out or repeated."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 8))):
        start = chance.randrange(len(data))
        end = min(len(data), start + chance.choice((1, 4, 64, 1_000)))
        kind = chance.choice(("flip", "cut", "put", "leave", "repeat", "zero"))
        if kind == "flip":
            data[start] ^= 1 << chance.randrange(8)
        elif kind == "cut":
            del data[max(start, 1) :]
        elif kind == "put":
            data[start:start] = chance.randbytes(end - start)
        elif kind == "leave" and end - start < len(data):
            del data[start:end]
        elif kind == "repeat":
            data[start:start] = data[start:end] * chance.choice((1, 50))
        else:
            data[start:end] = bytes(end - start)
    return bytes(data)


def strange(chance):
    """Return JSON lines of which some values are not what their columns hold."""
    rows = sample_rows(20)
    for row in chance.sample(rows, chance.choice((1, 3, 20))):
        for name in chance.sample(list(row), 2):
            row[name] = chance.choice(ODD)
        if chance.random() < 0.3:
            row[chance.choice(("fronteir_quality", "\x1b[2Jx", "extra", "split_group", "x"))] = 1
        if chance.random() < 0.1:
            row.pop(chance.choice(list(row)))
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def attempt(words, monkeypatch, capsys):
    """Run a command; return its exit code, or the name of what it raised, and what it said."""
    monkeypatch.setattr(sys, "argv", ["difficulty", *map(str, words)])
    try:
        main()
        code = 0
    except SystemExit as stopped:
        code = stopped.code or 0
    except BaseException as error:
        code = f"raised {type(error).__name__}"
    return code, capsys.readouterr()


def test_damaged_traffic_ends_in_an_exit_code_and_one_line(tmp_path, monkeypatch, capsys, tally):
    files, chance, counts, wrong = bases(), random.Random(14), Counter(), []
    options = ((), ("--allow-rejects",), ("--allow-rejects", "--keep-unknown-columns"),
               ("--labels", "halves"), ("--scale", "1,5", "--allow-rejects"))  # fmt: skip
    for name, content in files.items():  # whole ones are read, so that damage is what refuses
        (tmp_path / name).write_bytes(content)
        words = ["ingest", tmp_path / name, "-o", tmp_path / f"{name}.parquet"]
        assert attempt(words, monkeypatch, capsys)[0] == 0
    files_to_damage = sized(FILES)
    for number in range(files_to_damage):
        name = chance.choice([*files, "strange.jsonl"])
        content = strange(chance) if name == "strange.jsonl" else damaged(files[name], chance)
        if name.endswith(".gz") and chance.random() < 0.5:  # whole outside, damaged inside
            content = gzip.compress(damaged(gzip.decompress(files[name]), chance))
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / name).write_bytes(content)
        words = ["ingest", folder / name, "-o", folder / "out.parquet", *chance.choice(options)]
        code, said = attempt([*words, "--no-near-duplicates"], monkeypatch, capsys)
        counts[name, code] += 1
        written = {path.name for path in folder.iterdir()} - {name}
        bad = (
            code not in (0, 1, 2)
            or TERMINAL.search(said.out + said.err)
            or (code == 2 and (written or said.err.count("\n") != 1))
            or (code == 0 and "out.parquet" not in written)
        )
        if bad:
            wrong.append((number, name, code, said.err[-300:]))
        for path in folder.iterdir():
            path.unlink()
    codes = Counter()
    for (_, code), number in counts.items():
        codes[f"exit {code}"] += number
    tally("damaged traffic files", {"cases": files_to_damage, **codes})
    assert not wrong, wrong[:5]
