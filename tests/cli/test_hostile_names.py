"""Nothing that came from data reaches a terminal raw, or is markup on a page."""

import json
import re
import shutil

import pytest

from difficulty.bundle import read_bundle
from difficulty.report.page import code, escape_but_code, escape_markdown
from difficulty.stages.ingest import ingest
from difficulty.text import one_line, visible
from tests.bundle.test_store import put
from tests.journey import sample_rows, train_on, write_rows

EVIL = "\x1b[2J\x9b31m\u202eevil\u2066\x07\x00\nerror: forged\r`<script>alert(1)</script>|[b]"
RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def test_visible_shows_what_a_terminal_would_obey():
    assert visible("\x1b[2Jx\u202e\ud800") == "\\x1b[2Jx\\u202e\\ud800"
    assert visible("caf\u00e9 \U0001f468\u200d\U0001f469 tab\tline\n") == (
        "caf\u00e9 \U0001f468\u200d\U0001f469 tab\tline\n"
    )
    assert one_line("a\nerror: b") == "a error: b"


@pytest.fixture
def rows():
    """The sample with a task, models and ids that a terminal would obey."""
    names = {"task": f"task {EVIL}", "cheap_model": f"cheap {EVIL}", "frontier_model": EVIL}
    return [{**row, **names, "id": f"{n}{EVIL}"} for n, row in enumerate(sample_rows())]


def test_ingest_prints_no_name_raw(run, rows, tmp_path):
    rows[3] |= {"cheap_quality": EVIL, "cheap_passed": None}
    write_rows(tmp_path / "in.jsonl", rows)
    printed = run("ingest", "in.jsonl", "-o", "t.parquet", "--no-near-duplicates", code=0)
    assert not RAW.search(printed.out + printed.err)
    assert "\\x1b[2J" in printed.out
    assert "\nerror: forged" not in printed.out


@pytest.mark.parametrize("name", [EVIL.replace("/", "").replace("\0", ""), "\udcff"])
def test_errors_name_files_without_obeying_them(run, tmp_path, name):
    for words in (["ingest", name, "-o", "t.parquet"], ["verify", name], ["ship", name, "-o", "b"]):
        told = run(*words, code=2)
        assert not RAW.search(told.err)
        assert len(told.err.strip().splitlines()) == 1


def test_routes_and_tables_print_no_name_raw(run, journey, tmp_path):
    bundle = shutil.copytree(journey.bundle, tmp_path / "evil-1")
    policy = json.loads((bundle / "policy.json").read_text())
    policy |= {"cheap_model": EVIL, "frontier_model": EVIL, "hard_tasks": [EVIL]}
    policy["task_thresholds"] = {EVIL: 0.5}
    put(bundle, "policy.json", json.dumps(policy).encode())
    printed = run("route", bundle, "Hello", code=0)
    words = [bundle, journey.traffic, "--objective", "share=0.5", "-o", "evil-2"]
    printed_too = run("thresholds", *words, code=0)
    for text in (printed.out, printed.err, printed_too.out, printed_too.err):
        assert not RAW.search(text)
    card = read_bundle(tmp_path / "evil-2").files["card.md"].decode()
    assert_plain(card.partition("---\n")[0])


def test_a_report_prints_and_writes_no_name_raw(run, rows, journey, tmp_path):
    source = write_rows(tmp_path / "in.jsonl", rows)
    ingest([source], tmp_path / "t.parquet", near_duplicates=False)
    words = ["evaluate", journey.bundle, "t.parquet", "-o", "report", "--draws", "40"]
    printed = run(*words, code=0)
    assert not RAW.search(printed.out + printed.err)
    assert_plain((tmp_path / "report" / "report.md").read_text())


def test_card_of_a_run_with_hostile_names_holds_no_markup(run, rows, journey, tmp_path):
    source = write_rows(tmp_path / "in.jsonl", rows)
    ingest([source], tmp_path / "t.parquet", near_duplicates=False)
    train_on(tmp_path / "t.parquet", tmp_path / "run", journey.encoder)
    path = tmp_path / "run" / "run.json"
    record = json.loads(path.read_text())
    record["recipe"]["name"] = f"small{EVIL}"
    path.write_text(json.dumps(record))
    words = ["ship", "run", "-o", "evil-1", "--hard-task", EVIL, "--allow-no-signal"]
    printed = run(*words)
    assert not RAW.search(printed.out + printed.err)
    assert_plain(read_bundle(tmp_path / "evil-1").files["card.md"].decode())


def assert_plain(page):
    """Fail where a tag begins outside of a code span, or a control character stands anywhere."""
    assert not RAW.search(page)
    assert "\nerror: forged" not in page
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", re.sub(r"\\[`<]", "", page))
    assert "<" not in outside
    assert "`" not in outside


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain", "`plain`"),
        ("a`b", "`` a`b ``"),
        ("``", "``` `` ```"),
        ("a\n\n# b", "`a # b`"),
        ("a|b", "`a\u2223b`"),
        ("\x1b[2J", "`\\x1b[2J`"),
    ],
)
def test_a_code_span_holds_any_name(name, shown):
    assert escape_but_code(f"is {code(name)}.") == f"is {shown}."


def test_marks_of_a_name_open_nothing():
    assert escape_but_code("\x02<script>\x03`") == "`<script>`\\`"
    assert escape_but_code(code("\x02<b>\x03")) == "\\\\x02`<b>`\\\\x03"
    assert escape_but_code("p_cheap_fails _x_ <b>") == "p_cheap_fails \\_x\\_ \\<b\\>"
    assert escape_markdown("a\x1b_`") == "a\\\\x1b\\_\\`"
