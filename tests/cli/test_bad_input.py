"""Whatever comes in: exit code, one clear line, nothing half-written."""

import gzip
import json
import shutil
import sys

import pytest

from difficulty.bundle.policy import UNSEALED, seal
from difficulty.stages import train as train_module
from tests.bundle.test_store import put, rewrite_manifest
from tests.conftest import REPOSITORY
from tests.journey import forget, sample_rows, write_recipe, write_rows

GOOD = {"id": "good", "prompt": "Hello", "cheap_quality": 0.5, "frontier_quality": 1}
ALL_FILES = [
    "scorer.onnx",
    "tokenizer.json",
    "policy.json",
    "golden.jsonl",
    "metrics.json",
    "card.md",
    "manifest.json",
]


@pytest.fixture
def bundle(journey, tmp_path):
    """A copy of the shipped bundle, to be damaged."""
    return shutil.copytree(journey.bundle, tmp_path / "copy-1")


def refused(run, tmp_path, *arguments, code=2):
    """Run a command that is refused, and return its complaint; what lies in the folder stays as it
    was.
    """
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    result = run(*arguments, code=code)
    assert result.out == ""
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == before
    assert result.complaint.startswith("error: ")
    return result.complaint.removeprefix("error: ")


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("empty.jsonl", b"", "empty"),
        ("blank.jsonl", b"\n\n  \n", "empty"),
        ("notes.docx", b"x", "a traffic file must be of a known type: got 'notes.docx'"),
        ("fake.parquet", b"no parquet", "fake.parquet"),
        (
            "cut.jsonl.gz",
            gzip.compress(b'{"prompt": "Hello", "cheap_quality": 1}\n' * 500)[:-30],
            "cut.jsonl.gz",
        ),
        ("bytes.jsonl", bytes(range(256)), "a line must be one JSON object"),
        ("nan.jsonl", b'{"prompt": "Hello", "cheap_quality": NaN}\n', "cheap_quality must be in"),
        (
            "image.jsonl",
            json.dumps(
                GOOD | {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}
            ).encode(),
            "messages must hold some text",
        ),
        (
            "null.jsonl",
            json.dumps(GOOD | {"messages": [{"role": "user", "content": None}]}).encode(),
            "messages must hold some text",
        ),
    ],
)
def test_traffic_of_which_nothing_can_be_used(run, tmp_path, name, content, complaint):
    (tmp_path / name).write_bytes(content)
    found = refused(run, tmp_path, "ingest", name, "-o", "traffic.parquet")
    assert any(part in found for part in complaint.split("|")), found


def test_missing_source_and_unknown_format(run, tmp_path):
    assert "none.jsonl" in refused(run, tmp_path, "ingest", "none.jsonl", "-o", "t.parquet")
    write_rows(tmp_path / "in.jsonl", [GOOD])
    complaint = refused(run, tmp_path, "ingest", "in.jsonl", "-o", "t.parquet", "--format", "excel")
    assert complaint.startswith("unknown format 'excel'. Known: ")


def test_good_rows_go_on(run, tmp_path):
    """Every kind of bad row of the list beside three good ones, one of which is a megabyte long and
    one holds a lone surrogate.
    """
    bad = {
        "above": GOOD | {"cheap_quality": 1.01},
        "below": GOOD | {"frontier_quality": -0.2},
        "nan": GOOD | {"cheap_quality": float("nan")},
        "text": GOOD | {"cheap_quality": "good"},
        "null content": GOOD | {"messages": [{"role": "user", "content": None}]},
        "image only": GOOD | {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        "number": GOOD | {"messages": 5, "prompt": None},
        "no request": {"cheap_quality": 1},
    }
    good = [
        GOOD,
        GOOD | {"id": "long", "prompt": "word " * 210_000},
        GOOD | {"id": "surrogate", "prompt": "broken \ud83d half"},
    ]
    parts = GOOD | {
        "id": "parts",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image_url"}]}
        ],
    }
    rows = [
        *good,
        *({**row, "id": name} for name, row in bad.items()),
        GOOD | {"prompt": "the id is taken"},
        parts,
    ]
    result = run(
        "ingest",
        write_rows(tmp_path / "in.jsonl", rows),
        "-o",
        "t.parquet",
        "--allow-rejects",
        "--json",
        code=0,
    )
    summary = json.loads(result.out)
    assert (summary["rows"], summary["kept"]) == (13, 4)
    rejects = [json.loads(line) for line in (tmp_path / "t.rejects.jsonl").read_text().splitlines()]
    assert [(row["line"], row["id"]) for row in rejects] == [
        *((number, name) for number, name in enumerate(bad, 4)),
        (12, "good"),
    ]
    assert all(": got " in row["reason"] for row in rejects)


@pytest.fixture
def train(run, journey, tmp_path):
    """Return a function that ingests rows and is then refused by training, with the complaint."""

    def refusal(rows, *options, recipe=journey.recipe_file):
        run(
            "ingest",
            write_rows(tmp_path / "in.jsonl", rows),
            "-o",
            "t.parquet",
            "--no-near-duplicates",
            code=0,
        )
        return refused(
            run,
            tmp_path,
            "train",
            "t.parquet",
            "-o",
            "run",
            "--recipe",
            recipe,
            "--no-tracking",
            *options,
        )

    return refusal


def known(rows):
    return [
        row
        for row in rows
        if row["cheap_quality"] is not None and row["frontier_quality"] is not None
    ]


def test_ten_rows(train):
    assert train(sample_rows(10)).startswith(
        "training needs at least 60 fit samples with the cheap model's outcome known"
    )


def test_one_class_of_outcome(train):
    assert "got 0 failures. Add labels" in train(
        [{**row, "cheap_quality": 1, "cheap_passed": None} for row in known(sample_rows())]
    )


def test_frontier_model_worse_than_the_cheap_one(train):
    rows = [
        {**row, "cheap_quality": row["frontier_quality"], "frontier_quality": row["cheap_quality"]}
        for row in known(sample_rows())
    ]
    assert train(rows).startswith(
        "the frontier model must be better than the cheap one for routing to pay"
    )


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        (
            "colour = 3",
            (
                "bad.toml: colour is not a field that this version knows: got 3. Known:"
                " answer, augment, calibration, distil, "
            ),
        ),
        ("seed = -3", "bad.toml: seed must be at least 0: got -3."),
        ("seed = = 3", "bad.toml is not valid TOML: "),
    ],
)
def test_bad_recipe(run, journey, tmp_path, extra, complaint):
    write_recipe(tmp_path / "bad.toml", journey.encoder, extra=extra)
    assert refused(
        run,
        tmp_path,
        "train",
        journey.traffic,
        "-o",
        "run",
        "--recipe",
        "bad.toml",
        "--no-tracking",
    ).startswith(complaint)


def test_unknown_recipe_encoder_and_target(run, journey, tmp_path):
    rest = ["-o", "run", "--no-tracking"]
    assert refused(run, tmp_path, "train", journey.traffic, *rest, "--recipe", "quick").startswith(
        "unknown recipe 'quick'. Known: "
    )
    assert refused(
        run, tmp_path, "train", journey.traffic, *rest, "--recipe", "none.toml"
    ).startswith("no recipe at 'none.toml'")
    write_recipe(tmp_path / "r.toml", "no-such-encoder")
    assert refused(run, tmp_path, "train", journey.traffic, *rest, "--recipe", "r.toml").startswith(
        "unknown encoder 'sentence-transformers/no-such-encoder': it is no folder, and the Hub does"
        " not give it"
    )
    assert refused(run, tmp_path, "train", journey.traffic, *rest, "--target", "gain").startswith(
        "--target: target must be 'auto' or 'benefit' or 'failure'"
    )


def test_traffic_that_was_not_ingested(run, journey, tmp_path):
    complaint = refused(
        run,
        tmp_path,
        "train",
        journey.source,
        "-o",
        "run",
        "--recipe",
        journey.recipe_file,
        "--no-tracking",
    )
    assert "Run: difficulty ingest" in complaint
    assert "must exist" in refused(
        run,
        tmp_path,
        "train",
        "none.parquet",
        "-o",
        "run",
        "--recipe",
        journey.recipe_file,
        "--no-tracking",
    )


def test_existing_run_folder(run, journey, tmp_path):
    (tmp_path / "run").mkdir()
    complaint = refused(
        run,
        tmp_path,
        "train",
        journey.traffic,
        "-o",
        "run",
        "--recipe",
        journey.recipe_file,
        "--no-tracking",
    )
    assert (
        complaint == "run folder 'run' exists already. Choose another folder, or remove it first."
    )


def test_missing_mlflow_is_told_before_training(run, journey, tmp_path, monkeypatch):
    forget(monkeypatch, "mlflow")
    monkeypatch.delitem(sys.modules, "difficulty.integrations.mlflow", raising=False)
    monkeypatch.setattr(train_module, "train", lambda *_, **__: pytest.fail("trained"))
    train = ("train", journey.traffic, "-o", "run", "--recipe", journey.recipe_file)
    complaint = refused(run, tmp_path, *train, "--tracking")
    assert (
        complaint == "tracking needs the package 'mlflow', which is not installed. Run: pip install"
        f" -e '{REPOSITORY}[track]'"
    )


def test_training_needs_no_mlflow_unless_asked(run, journey, tmp_path, monkeypatch):
    """Where it is not installed nothing is recorded, and no store is made."""
    forget(monkeypatch, "mlflow")
    monkeypatch.delitem(sys.modules, "difficulty.integrations.mlflow", raising=False)
    train = ("train", journey.traffic, "-o", "run", "--recipe", journey.recipe_file)
    assert "MLflow" not in run(*train, code=0).out
    assert not (tmp_path / "mlflow.db").exists()


COMMANDS = [
    ["verify", "{bundle}"],
    ["score", "{bundle}", "Hello"],
    ["route", "{bundle}", "Hello"],
    ["evaluate", "{bundle}", "{traffic}", "-o", "report"],
    ["thresholds", "{bundle}", "{traffic}", "--objective", "share=0.5", "-o", "new-2"],
]


def filled(command, bundle, journey):
    return [part.format(bundle=bundle, traffic=journey.traffic) for part in command]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize("name", ALL_FILES)
def test_bundle_with_one_byte_changed(run, journey, bundle, tmp_path, name, command):
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    assert name in refused(run, tmp_path, *filled(command, bundle, journey))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_bundle_with_a_missing_file(run, journey, bundle, tmp_path, command):
    (bundle / "tokenizer.json").unlink()
    complaint = refused(run, tmp_path, *filled(command, bundle, journey))
    assert (
        complaint
        == "bundle file tokenizer.json is missing. Copy the whole folder, or ship it again."
    )


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_bundle_of_a_newer_format(run, journey, bundle, tmp_path, command):
    rewrite_manifest(bundle, format=2)
    complaint = refused(run, tmp_path, *filled(command, bundle, journey))
    assert (
        complaint
        == "bundle format 2 is newer than this runtime reads (1 to 1). Upgrade difficulty or export"
        " again."
    )


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_no_bundle_at_all(run, journey, tmp_path, command):
    complaint = refused(run, tmp_path, *filled(command, "nowhere", journey))
    assert complaint.startswith(
        ("no bundle at 'nowhere'", "neither a run nor a bundle at 'nowhere'")
    )


def test_golden_vector_that_is_not_reproduced_exits_with_1(run, bundle):
    """Every hash is right: only replaying shows it."""
    rows = [json.loads(line) for line in (bundle / "golden.jsonl").read_text().splitlines()]
    rows[0]["difficulty_score"] += 0.01
    put(bundle, "golden.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    result = run("verify", bundle, code=1)
    assert "plain: difficulty_score is 0." in result.out
    assert "1 differences" in result.out
    form = json.loads(run("verify", bundle, "--json", code=1).out)
    assert (form["passed"], len(form["differences"])) == (False, 1)


def test_overdue_review_is_a_warning(run, bundle):
    policy = json.loads((bundle / "policy.json").read_text()) | {"review_date": "2020-01-01"}
    put(bundle, "policy.json", json.dumps(policy).encode())
    assert run("verify", bundle, code=0).complaint.startswith(
        "warning: the threshold was to be reviewed by 2020-01-01"
    )


def test_seal_can_be_made_again_only_by_who_knows_how(bundle, run, tmp_path):
    """A field changed and sealed with the old seal is refused."""
    text = (bundle / "manifest.json").read_text().replace('"max_tokens": 512', '"max_tokens": 511')
    (bundle / "manifest.json").write_text(text)
    assert "manifest.json was changed" in refused(run, tmp_path, "verify", bundle)
    form = json.loads(text) | {"sha256": UNSEALED}
    (bundle / "manifest.json").write_bytes(seal(json.dumps(form).encode()))
    assert run("verify", bundle).code == 1


@pytest.mark.parametrize(
    ("options", "code", "complaint"),
    [
        (["--objective", "share=0.01"], 1, "a frontier share of at most 0.01 cannot be reached"),
        (
            ["--objective", "quality=1", "--easy-task", "code", "--max-cheap-tokens", "100000"],
            1,
            "recovering 1 of the quality gap cannot be reached",
        ),
        (
            ["--objective", "share=70"],
            2,
            "share must be in [0, 1]: got 70.0. Shares are fractions, not percentages.",
        ),
        (["--objective", "share"], 2, "objective must be written as name=number: got 'share'"),
        (
            ["--objective", "price=1"],
            2,
            (
                "unknown objective 'price'. Known: cost, mean_quality, missed, quality, risk,"
                " share, utility."
            ),
        ),
        (
            ["--easy-task", "code", "--hard-task", "code"],
            2,
            "options: policy must say of a task that it is easy or hard, not both: got code.",
        ),
        (["--prices", "none.toml"], 2, "price list must exist: got 'none.toml'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_ship_refuses(run, journey, tmp_path, options, code, complaint):
    assert refused(run, tmp_path, "ship", journey.run, "-o", "b-1", *options, code=code).startswith(
        complaint
    )


@pytest.mark.parametrize("name", ["unversioned", "b-v1"])
def test_bundle_needs_a_version_in_its_name(run, journey, tmp_path, name):
    complaint = refused(run, tmp_path, "ship", journey.run, "-o", name)
    assert complaint.startswith("a bundle folder must be named <name>-<version>")


def test_existing_bundle_is_never_overwritten(run, journey, bundle, tmp_path):
    assert "never overwritten" in refused(run, tmp_path, "ship", journey.run, "-o", bundle)
    assert "never overwritten" in refused(
        run,
        tmp_path,
        "thresholds",
        journey.bundle,
        journey.traffic,
        "--objective",
        "share=0.5",
        "-o",
        bundle,
    )


def test_ship_needs_a_run(run, journey, tmp_path):
    assert "it is a bundle" in refused(run, tmp_path, "ship", journey.bundle, "-o", "b-1")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"format": 9}')
    assert refused(run, tmp_path, "ship", "run", "-o", "b-1").startswith(
        "run format 9 is not the one this version reads (1)"
    )


def test_thresholds_that_cannot_be_met_exit_with_1(run, journey, tmp_path):
    command = [
        "thresholds",
        journey.bundle,
        journey.traffic,
        "--objective",
        "share=0.001",
        "-o",
        "new-2",
    ]
    assert "Nearest: share=" in refused(run, tmp_path, *command, code=1)


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("text", ["", "   ", "\u200b \t"])
def test_text_that_cannot_be_scored(run, journey, tmp_path, text, options):
    result = run("score", journey.bundle, text, *options)
    assert result.code == 2 or text.strip()
    if result.code == 2:
        assert result.complaint.startswith(
            "error: a request must hold some text to be scored: got none"
        )


@pytest.mark.parametrize(
    "text", ["broken \ud83d half", "null \x00 byte", "w" * 1_048_576, ":b: [red]x[/red]"]
)
@pytest.mark.parametrize("command", ["score", "route"])
def test_odd_text_is_scored(run, journey, command, text):
    form = json.loads(run(command, journey.bundle, text, "--json", code=0).out)
    if form.get("reason") == "ineligible":  # longer than what the cheap model is known to take
        assert (len(text) > 1_000_000, form["ineligible"]) == (True, ["cheap.context_window"])
        return
    assert 0 < form["difficulty_score"] < 1


@pytest.mark.parametrize("text", ["", "   "])
def test_text_that_cannot_be_scored_is_routed_to_the_frontier_model(run, journey, text):
    result = run("route", journey.bundle, text, code=0)
    assert result.out.startswith(
        "frontier -> example/frontier  (scorer_error: a request must hold some text"
    )


@pytest.mark.parametrize("command", ["score", "route"])
def test_request_file_that_is_none(run, journey, tmp_path, command):
    """Also with an output, which is not left half-written."""
    (tmp_path / "in.jsonl.gz").write_bytes(b"no gzip")
    for name, complaint in [
        ("in.jsonl.gz", "request file must be whole"),
        ("none.jsonl", "no request file at"),
    ]:
        assert refused(run, tmp_path, command, journey.bundle, "--input", name).startswith(
            complaint
        )
        assert refused(
            run, tmp_path, command, journey.bundle, "--input", name, "-o", "out.jsonl"
        ).startswith(complaint)


def test_empty_request_file_gives_an_empty_result(run, journey, tmp_path):
    (tmp_path / "in.jsonl").write_text("")
    run("score", journey.bundle, "--input", "in.jsonl", "-o", "out.jsonl", code=0)
    assert (tmp_path / "out.jsonl").read_text() == ""
