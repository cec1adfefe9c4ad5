"""A hundred typical mistakes: each gets one sentence that says what to do, and no Python."""

import re
import shutil
from io import StringIO

import pytest

from difficulty.cli.app import COMMANDS
from difficulty.cli.console import out
from difficulty.thresholds import OBJECTIVES
from tests.journey import sample_rows, write_rows

PYTHON = re.compile(
    r"Traceback|Errno|codec|NoneType|\bdict\b|<class|object at 0x|list\[|KeyError|ValueError"
    r"|TypeError|\bNone\b|\bnan\b|\\x[0-9a-f]{2}|pyarrow|Arrow(Invalid|Error)|pydantic|__\w+__"
    r"|<(str|int|float|path)>"
)
"""What a user who does not know Python cannot read."""


@pytest.fixture(scope="module")
def desk(journey, tmp_path_factory):
    """A folder as somebody's: a run, a bundle, traffic, and files that are not what they seem."""
    folder = tmp_path_factory.mktemp("desk")
    rows = sample_rows(60)
    shutil.copytree(journey.run, folder / "runs" / "first")
    shutil.copytree(journey.bundle, folder / "bundles" / "support-1")
    shutil.copy(journey.traffic, folder / "traffic.parquet")
    write_rows(folder / "requests.jsonl", [{"id": str(i), "prompt": "Hi"} for i in range(3)])
    write_rows(folder / "labelled.jsonl", rows)
    write_rows(folder / "misspelt.jsonl", [{"promt": "Hi", "cheap_quality": 1}])
    (folder / "semicolons.csv").write_text("frage;note_a;note_b\nHallo;1,0;0,5\n", "utf-8")
    (folder / "names.csv").write_text("question,mark\nHello,1\n", "utf-8")
    (folder / "empty.jsonl").write_text("", "utf-8")
    (folder / "array.json").write_text("[1, 2", "utf-8")
    (folder / "notes.txt").write_text("Dear diary\n", "utf-8")
    (folder / "latin.csv").write_bytes("prompt,cheap_quality\nGrüße,1\n".encode("latin-1"))
    (folder / "percent.jsonl").write_text('{"prompt": "Hi", "cheap_quality": 87}\n', "utf-8")
    (folder / "bad.toml").write_text("[currency\n", "utf-8")
    (folder / "other.toml").write_text('name = "mine"\nepochs = 3\n', "utf-8")
    (folder / "word.toml").write_text('name = "mine"\nfolds = "many"\n', "utf-8")
    (folder / "key.pem").write_text("not a key\n", "utf-8")
    (folder / "taken").mkdir()
    (folder / "taken" / "file").write_text("x", "utf-8")
    (folder / "broken.json").write_text("{", "utf-8")
    (folder / "folder").mkdir()
    return folder


MISTAKES = (
    ("ingest nofile.jsonl -o t.parquet", "Check the path."),
    ("ingest empty.jsonl -o t.parquet", "Export it again, or leave it out."),
    (
        "ingest notes.txt -o t.parquet",
        "Read are .csv, .json, .jsonl, .ndjson, .parquet, .tsv (text also",
    ),
    ("ingest array.json -o t.parquet", "Check that the file is complete."),
    (
        "ingest folder -o t.parquet",
        "Read are .csv, .json, .jsonl, .ndjson, .parquet, .tsv (text also",
    ),
    (
        "ingest semicolons.csv -o t.parquet",
        "See docs/traffic.md for the columns that are read, or let",
    ),
    ("ingest names.csv -o t.parquet", "See docs/traffic.md for the columns that are read, or let"),
    (
        "ingest misspelt.jsonl -o t.parquet",
        'Pass --map prompt="promt" to read it, or --keep-unknown-columns',
    ),
    ("ingest percent.jsonl -o t.parquet", "Where the others are slips, pass --scale 0,1."),
    (
        "ingest labelled.jsonl -o traffic.parquet",
        "Nothing was written: choose another name, or pass --overwrite to",
    ),
    (
        "ingest labelled.jsonl -o taken",
        "Nothing was written: choose another name, or pass --overwrite to",
    ),
    ("ingest labelled.jsonl", "Invalid value for '--out': say where to write: -o traffic.parquet"),
    ("ingest labelled.jsonl -o t.parquet --format excel", "unknown format 'excel'."),
    (
        "ingest labelled.jsonl -o t.parquet --map prompt",
        'Write for example: --map prompt="User text".',
    ),
    (
        "ingest labelled.jsonl -o t.parquet --map promt=prompt",
        "unknown field of [columns] 'promt', perhaps 'prompt' is meant.",
    ),
    (
        "ingest labelled.jsonl -o t.parquet --map prompt=nothing",
        "Nearest: 'task' (or 'prompt_tokens'); --map prompt=\"task\".",
    ),
    ("ingest labelled.jsonl -o t.parquet --mapping nofile.toml", "Check the path."),
    (
        "ingest labelled.jsonl -o t.parquet --mapping bad.toml",
        "Expected ']' at the end of a table declaration (at line 1, column",
    ),
    ("ingest labelled.jsonl -o t.parquet --pivot request", "Write for example: --pivot"),
    (
        "ingest names.csv -o t.parquet --pivot request=question,model=mark,quality=mark",
        "Pass for example --cheap '1', exactly or as patterns such as",
    ),
    (
        "ingest bundles/support-1 -o t.parquet",
        "Name the files that requests and outcomes stand in.",
    ),
    ("train traffic.parquet", "Missing option '--out' / '-o'."),
    ("train nofile.parquet -o r --no-tracking", "Check the path."),
    (
        "train labelled.jsonl -o r --no-tracking",
        "Run: difficulty ingest labelled.jsonl -o traffic-2.parquet",
    ),
    ("train runs/first -o r --no-tracking", "Name a file written by 'difficulty ingest'."),
    ("train bundles/support-1 -o r --no-tracking", "Name a file written by 'difficulty ingest'."),
    (
        "train traffic.parquet -o runs/first --no-tracking",
        "Choose another folder, or remove it first.",
    ),
    ("train traffic.parquet -o r --recipe quick --no-tracking", "unknown recipe 'quick'."),
    (
        "train traffic.parquet -o r --recipe nofile.toml --no-tracking",
        "Pass a TOML file, or the name of a shipped recipe.",
    ),
    (
        "train traffic.parquet -o r --recipe bad.toml --no-tracking",
        "bad.toml is not valid TOML: Expected ']' at the end of a table",
    ),
    (
        "train traffic.parquet -o r --recipe other.toml --no-tracking",
        "other.toml: epochs is not a field that this version knows: got 3.",
    ),
    (
        "train traffic.parquet -o r --recipe word.toml --no-tracking",
        "word.toml: folds must be a whole number: got 'many'.",
    ),
    (
        "train traffic.parquet -o r --target benefits --no-tracking",
        "--target: target must be 'auto' or 'benefit' or 'failure': got",
    ),
    ("train traffic.parquet -o r --seed many --no-tracking", "No such option: --seed"),
    (
        "train traffic.parquet -o r --recipe distilled --no-tracking",
        "recipe 'distilled' learns from a teacher: pass --teacher RUN.",
    ),
    (
        "train traffic.parquet -o r --teacher runs/none --no-tracking",
        "Name a folder written by 'difficulty train'.",
    ),
    ("ship runs/first", "Missing option '--out' / '-o'."),
    ("ship runs/none -o b-1", "Name a folder written by 'difficulty train'."),
    ("ship bundles/support-1 -o b-1", "Name the run folder that it was shipped from."),
    ("ship traffic.parquet -o b-1", "Run: difficulty train traffic.parquet -o runs/first-2"),
    (
        "ship runs/first -o bundles/support-1",
        "Bundles are never overwritten: choose a new version.",
    ),
    (
        "ship runs/first -o b-1 --objective cheap",
        "For example: share=0.3 or quality=0.9, with options:",
    ),
    (
        "ship runs/first -o b-1 --objective share",
        "For example: share=0.3 or quality=0.9, with options:",
    ),
    ("ship runs/first -o b-1 --objective share=30", "Shares are fractions, not percentages."),
    ("ship runs/first -o b-1 --objective share=30%", "Shares are fractions: write share=0.3."),
    ("ship runs/first -o b-1 --objective quality=90%", "Shares are fractions: write quality=0.9."),
    ("ship runs/first -o b-1 --objective budget=3", "unknown objective 'budget'."),
    (
        "ship runs/first -o b-1 --objective cost=2",
        "Pass --prices, and traffic with prompt_tokens, cheap_tokens and",
    ),
    (
        "ship runs/first -o b-1 --objective risk=0.2,confidence=0.9",
        "unknown option of the objective risk 'confidence'.",
    ),
    ("ship runs/first -o b-1 --prices nofile.toml", "Check the path."),
    ("ship runs/first -o b-1 --prices traffic.parquet", "It is no text in UTF-8."),
    (
        "ship runs/first -o b-1 --prices bad.toml",
        "Expected ']' at the end of a table declaration (at line 1, column",
    ),
    (
        "ship runs/first -o b-1 --min-familiarity high",
        "options: policy.min_familiarity must be a number: got 'high'.",
    ),
    (
        "ship runs/first -o b-1 --catch-rate 90",
        "Invalid value for '--catch-rate': it must be at most 1",
    ),
    ("ship runs/first -o b-1 --answer maybe", "unknown answer 'maybe'."),
    (
        "ship runs/first -o b-1 --key key.pem",
        "No such option: --key (Possible options: --early, --sign-key)",
    ),
    ("evaluate bundles/support-1", "Missing argument 'traffic'."),
    ("evaluate bundles/support-1 nofile.parquet -o report", "Check the path."),
    (
        "evaluate bundles/none traffic.parquet -o report",
        "Name a folder written by 'difficulty train' or 'difficulty ship'.",
    ),
    (
        "evaluate traffic.parquet bundles/support-1 -o report",
        "Name a file written by 'difficulty ingest'.",
    ),
    (
        "evaluate bundles/support-1 labelled.jsonl -o report",
        "Run: difficulty ingest labelled.jsonl -o traffic-2.parquet",
    ),
    ("evaluate bundles/support-1 traffic.parquet -o notes.txt", "Choose another name."),
    ("evaluate bundles/support-1 traffic.parquet -o bundles/support-1", "Choose another folder."),
    (
        "evaluate bundles/support-1 traffic.parquet -o report --prices nofile.toml",
        "Check the path.",
    ),
    (
        "evaluate bundles/support-1 traffic.parquet -o report --draws 0",
        "--draws must be 40 or more: got 0.",
    ),
    (
        "evaluate bundles/support-1 traffic.parquet -o report --draws many",
        "Invalid value for '--draws': it must be a whole number",
    ),
    (
        "thresholds bundles/support-1 traffic.parquet -o bundles/support-1 --objective share=0.2",
        "Bundles are never overwritten: choose a new version.",
    ),
    (
        "thresholds runs/first traffic.parquet -o b-2 --objective share=0.2",
        "Run: difficulty ship runs/first -o bundles/first-1",
    ),
    (
        "thresholds bundles/support-1 traffic.parquet -o b-2 --objective nothing",
        "For example: share=0.3 or quality=0.9, with options:",
    ),
    ("economics --traffic traffic.parquet --prices nofile.toml", "Check the path."),
    (
        "economics --traffic nofile.parquet --prices bad.toml",
        "Expected ']' at the end of a table declaration (at line 1, column",
    ),
    ("economics --prices bad.toml", "Missing option '--traffic'."),
    ("score bundles/support-1", "Invalid value: pass either a text or --input FILE"),
    ("score bundles/none Hello", "no bundle at 'bundles/none': expected a folder written by"),
    ("score runs/first Hello", "Run: difficulty ship runs/first -o bundles/first-1"),
    ("score bundles/support-1 --input nofile.jsonl", "Check the path."),
    (
        "score bundles/support-1 --input array.json",
        "Convert it: jq -c '.[]' array.json > array.jsonl",
    ),
    (
        "score bundles/support-1 Hello --input requests.jsonl",
        "Invalid value: pass either a text or --input FILE",
    ),
    (
        "score bundles/support-1 labelled.jsonl",
        "Invalid value: labelled.jsonl is a file: pass --input labelled.jsonl, or a text",
    ),
    (
        "route bundles/support-1 labelled.jsonl",
        "Invalid value: labelled.jsonl is a file: pass --input labelled.jsonl, or a text",
    ),
    ("route bundles/support-1", "Invalid value: pass either a text or --input FILE"),
    ("route runs/first Hello", "Run: difficulty ship runs/first -o bundles/first-1"),
    ("route bundles/support-1 --input nofile.jsonl -o d.jsonl", "Check the path."),
    (
        "route bundles/support-1 --input requests.jsonl -o requests.jsonl",
        "Nothing was written: choose another name, or pass --overwrite to",
    ),
    (
        "route bundles/support-1 Hello --needs images",
        'Invalid value: --needs takes a JSON object: \'{"residency":',
    ),
    ("check bundles/support-1", "Invalid value: pass either a text or --input FILE"),
    ("check bundles/support-1 Hello", "Invalid value: pass --answer with a text"),
    ("serve bundles/none", "no bundle at 'bundles/none': expected a folder written by"),
    ("serve runs/first", "Run: difficulty ship runs/first -o bundles/first-1"),
    (
        "serve bundles/support-1 --cheap some-model",
        "--cheap and --frontier must be given together: both models, or neither",
    ),
    ("serve bundles/support-1 --host nowhere.invalid --port 1", "Check --host."),
    (
        "serve bundles/support-1 --port eighty",
        "Invalid value for '--port': it must be a whole number",
    ),
    (
        "serve bundles/support-1 --port 99999",
        "Invalid value for '--port': it must be at most 65535",
    ),
    ("policy bundles/support-1 -o b-2", "Invalid value for '--out': write it with --set KEY=VALUE"),
    (
        "policy bundles/support-1 --set epsilon=often -o b-2",
        "--set: exploration.epsilon must be a number: got 'often'.",
    ),
    (
        "policy bundles/support-1 --set nothing=1 -o b-2",
        "--set must name a setting of the deployment: got 'nothing'.",
    ),
    ("policy bundles/support-1 --set epsilon -o b-2", "As in epsilon=0.05."),
    (
        "policy runs/first --set epsilon=0.1 -o b-2",
        "Run: difficulty ship runs/first -o bundles/first-1",
    ),
    ("sign bundles/support-1 --key nofile.pem", "Check the path."),
    (
        "sign bundles/support-1 --key key.pem",
        "Make one with: openssl ecparam -name prime256v1 -genkey -noout",
    ),
    ("verify runs/first", "Run: difficulty ship runs/first -o bundles/first-1"),
    ("verify bundles/none", "no bundle at 'bundles/none': expected a folder written by"),
    ("verify traffic.parquet", "Name a folder written by 'difficulty ship'."),
    (
        "publish bundles/support-1 --name support --registry notes.txt",
        "Check the path and its permissions.",
    ),
    (
        "publish runs/first --name support --registry registry",
        "Run: difficulty ship runs/first -o bundles/first-1",
    ),
    (
        "promote support --registry nowhere",
        "Check the path; the first 'difficulty publish' makes one.",
    ),
    (
        "rollback support --registry nowhere",
        "Check the path; the first 'difficulty publish' makes one.",
    ),
    (
        "versions support --registry nowhere",
        "Check the path; the first 'difficulty publish' makes one.",
    ),
    (
        "fetch support --registry nowhere -o f",
        "Check the path; the first 'difficulty publish' makes one.",
    ),
    ("monitor nolog -b bundles/support-1 -o m", "Check the path."),
    ("monitor empty.jsonl -b bundles/support-1 -o m", "Check the path."),
    ("monitor notes.txt -b bundles/support-1 -o m", "Check the path."),
    ("replay nolog --bundle bundles/support-1 -o p", "Check the path."),
    ("recalibrate nofile.parquet --bundle bundles/support-1 -o b-2", "Check the path."),
    ("retrain nofile.parquet traffic.parquet --bundle bundles/support-1 -o r", "Check the path."),
    ("label traffic.parquet -o l.parquet", "Missing option '--cheap'."),
    (
        "label nofile.parquet --cheap a --frontier b --judge c --budget-usd 5 -o l.parquet",
        "Check the path.",
    ),
    (
        "label traffic.parquet --cheap a --frontier b --judge c --budget-usd much -o l.parquet",
        "Invalid value for '--budget-usd': it must be a number",
    ),
    ("outcomes traffic.parquet nofile.csv -o o.parquet", "Check the path."),
    ("start nofile.jsonl", "Check the path."),
    ("start notes.txt", "Read are .csv, .json, .jsonl, .ndjson, .parquet, .tsv (text also"),
    (
        "litellm-config bundles/none --cheap a --frontier b",
        "no bundle at 'bundles/none': expected a folder written by",
    ),
    ("litellm-config bundles/support-1", "--observe needs no bundle and one model."),
    ("layout bundles/support-1 -o l --kind docker", "No such option: --kind"),
    ("tarin traffic.parquet -o r", "Did you mean 'train', 'start'?"),
    (
        "ship runs/first -o b-1 --objektive share=0.3",
        "No such option: --objektive (Possible options: --objective)",
    ),
    (
        "evaluate bundles/support-1 traffic.parquet -o report --requests-per-month lots",
        "requests_per_month must come with --prices, as it says nothing",
    ),
)
"""What was typed, and a part of what is said to it."""


@pytest.mark.parametrize(("line", "advice"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_mistake_gets_one_clear_sentence(line, advice, desk, run, monkeypatch):
    monkeypatch.chdir(desk)
    before = sorted(path.relative_to(desk) for path in desk.rglob("*"))
    result = run(*line.split())
    assert result.code in (1, 2), result.out
    told = [row for row in result.err.splitlines() if row.startswith(("error: ", "Error: "))]
    assert len(told) == 1, result.err
    (sentence,) = told
    assert advice in sentence
    assert not PYTHON.search(sentence), sentence
    assert sorted(path.relative_to(desk) for path in desk.rglob("*")) == before


def test_there_are_a_hundred():
    assert len({line for line, _ in MISTAKES}) >= 100


def test_help_holds_no_words_of_python(run):
    for name in COMMANDS:
        assert not PYTHON.search(run(name, "--help").out), name


def test_objectives_are_a_list_with_examples(run):
    listed = run("ship", "--help").out.partition("Objectives")[2]
    assert {each for each in OBJECTIVES if f"  {each}=" in listed} == {*OBJECTIVES}


def test_output_to_a_pipe_is_not_wrapped(run, desk, monkeypatch):
    monkeypatch.chdir(desk)
    monkeypatch.setenv("COLUMNS", "40")
    assert max(map(len, run("ingest", "notes.txt", "-o", "t.parquet").err.splitlines())) > 200


def test_colours_respect_no_color(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    console = type(out)(force_terminal=True, file=StringIO())
    console.print("plain", style="bold red")
    assert "\x1b[31" not in console.file.getvalue()
    assert "plain" in console.file.getvalue()
