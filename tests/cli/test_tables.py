"""Tables under other names, from the command line: what is found, mapped and joined."""

import json
import tomllib

from tests.cli.test_bad_input import refused

HEAD = "trace;model;Frage;score;answer\n"


def calls(path, n=30, models=("small", "big")):
    """Write calls as a spreadsheet does."""
    lines = [
        f"t{k};{model};Wie groß ist {k} mal {k * 3}?;0,{(k + place) % 10};ja\n"
        for k in range(n)
        for place, model in enumerate(models)
    ]
    path.write_text(HEAD + "".join(lines), encoding="cp1252")
    return path.name


def test_a_proposal_saved_as_it_is_reads_the_file(run, tmp_path):
    name = calls(tmp_path / "calls.csv")
    proposal = run("ingest", name, "--suggest", code=0).out
    (tmp_path / "calls.toml").write_text(proposal, encoding="utf-8")
    assert tomllib.loads(proposal)["pivot"]["request"] == "trace"
    said = run(
        "ingest", name, "--mapping", "calls.toml", "-o", "t.parquet", "--no-near-duplicates", code=0
    ).out
    assert "30 of 60 rows kept; 30 more were joined with a row of the same request" in said
    assert "written    cp1252, semicolon between cells, decimal comma" in said
    assert "pivot: calls 60, requests 30, both models 30" in said


def test_a_table_whose_outcomes_were_not_read_is_to_be_mapped(run, tmp_path):
    """Before labels are bought that it has already."""
    rows = "".join(json.dumps({"prompt": f"What is {n}?", "score": 1}) + "\n" for n in range(3))
    (tmp_path / "own names.jsonl").write_text(rows)
    said = run("ingest", "own names.jsonl", "-o", "t.parquet", code=0).out.splitlines()
    assert said[-1] == "next: difficulty ingest 'own names.jsonl' --suggest"


def test_options_say_the_same_as_a_file(run, tmp_path):
    name = calls(tmp_path / "calls.csv", models=("small", "big", "third"))
    out = run(
        "ingest",
        name,
        "-o",
        "t.parquet",
        "--map",
        "prompt=Frage",
        "--pivot",
        "request=trace,model=model,quality=score",
        "--cheap",
        "small",
        "--frontier",
        "b?g",
        "--json",
        "--no-near-duplicates",
        code=0,
    ).out
    summary = json.loads(out)
    assert (summary["rows"], summary["kept"], summary["joined"]) == (90, 30, 30)
    assert summary["left_out"] == {
        "a row of a pivot must be of the cheap or the frontier model": 30
    }
    assert summary["model_pairs"] == {"small / big": 30}


def test_what_cannot_be_read_so_is_refused_in_a_sentence(run, tmp_path):
    name = calls(tmp_path / "calls.csv")
    assert refused(run, tmp_path, "ingest", name, "-o", "t.parquet", "--map", "prompt=frage") == (
        "a column that is mapped must be in the table: no column 'frage' (for prompt). Nearest:"
        " 'Frage'; --map prompt=\"Frage\"."
    )
    assert "pivot must be told which model is the cheap one" in refused(
        run,
        tmp_path,
        "ingest",
        name,
        "-o",
        "t.parquet",
        "--map",
        "prompt=Frage",
        "--pivot",
        "request=trace,model=model,quality=score",
    )
    assert "encoding must be one that Python knows" in refused(
        run, tmp_path, "ingest", name, "-o", "t.parquet", "--encoding", "latin-99"
    )


def test_without_a_place_to_write_nothing_is_read(run, tmp_path):
    calls(tmp_path / "calls.csv")
    assert "-o traffic.parquet" in run("ingest", "calls.csv", code=2).err
