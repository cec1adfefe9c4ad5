"""Publish, promote, roll back and fetch on the command line, with a registry in a folder."""

import json

import pytest

from difficulty.bundle import read_bundle
from tests.journey import sample_rows, write_rows
from tests.versions import make_version


@pytest.fixture(scope="module")
def made(journey, tmp_path_factory):
    """A worse version of the journey's bundle, and rows that neither was made from."""
    folder = tmp_path_factory.mktemp("made")
    worse = make_version(folder, 2, threshold=1.0, name="small", source=journey.bundle)
    return worse, write_rows(folder / "recent.jsonl", sample_rows(1100)[800:])


def test_bundles_go_the_whole_way(run, journey, made, tmp_path, monkeypatch):
    worse, rows = made
    monkeypatch.setenv("DIFFICULTY_REGISTRY", "registry")
    run("ingest", rows, "-o", "recent.parquet", code=0)
    assert (
        "as version 1 (small-1) of support, its challenger now"
        in run("publish", journey.bundle, "--name", "support", code=0).out
    )
    assert (
        "no version or alias 'champion'. Known: challenger, 1"
        in run("fetch", "support", "-o", "got", code=2).complaint
    )
    assert "is the first champion of support" in run("promote", "support", code=0).out
    run("publish", worse, "--name", "support", code=0)
    told = json.loads(run("versions", "support", "--json", code=0).out)
    assert (told["aliases"], [row["bundle"] for row in told["versions"]]) == (
        {"challenger": 2, "champion": 1},
        ["small-2", "small-1"],
    )
    assert told["versions"][0]["tags"]["threshold"] == "1"
    listed = [line.split() for line in run("versions", "support", code=0).out.splitlines()]
    assert [(line[0], line[1], line[4]) for line in listed[1:]] == [
        ("2", "small-2", "challenger"),
        ("1", "small-1", "champion"),
    ]
    said = run("promote", "support", "recent.parquet", code=1).out
    assert "quality may be worse" in said
    assert (
        "version 2 (small-2) is not promoted; champion of support stays version 1 (small-1)" in said
    )
    (tmp_path / "open.toml").write_text('name = "open"\n[promotion]\nmax_quality_loss = 1.0\n')
    form = json.loads(
        run("promote", "support", "recent.parquet", "--recipe", "open.toml", "--json", code=0).out
    )
    assert (form["promoted"], form["challenger"], form["champion_before"], form["refusals"]) == (
        True,
        2,
        1,
        [],
    )
    assert form["figures"]["quality"]["difference"]["value"] < 0
    assert (
        "version 2 (small-2) of support"
        in run("fetch", "support@champion", "-o", "got", code=0).out
    )
    assert read_bundle(tmp_path / "got").contents == read_bundle(worse).contents
    assert (
        "version 1 (small-1) is the champion of support again, in place of version 2"
        in run("rollback", "support", code=0).out
    )
    assert (
        json.loads(run("fetch", "support", "-o", "back", "--json", code=0).out)["bundle"]
        == "small-1"
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["promote", "none", "--registry", "registry"], "no registry at 'registry'"),
        (["versions", "none", "--registry", "registry"], "no registry at 'registry'"),
        (["rollback", "none", "--registry", "registry"], "no registry at 'registry'"),
        (["fetch", "none@7", "-o", "got", "--registry", "registry"], "no registry at 'registry'"),
        (
            ["promote", "none", "--registry", "http://127.0.0.1:1"],
            "no MLflow server answers at 'http://127.0.0.1:1'",
        ),
        (["fetch", "none", "-o", "got", "--registry", "ftp://a/b"], "unknown registry 'ftp'"),
        (
            ["fetch", "../none", "-o", "got", "--registry", "registry"],
            "name must be at most 128 letters",
        ),
    ],
)
def test_what_is_not_there_is_said(run, arguments, complaint):
    assert complaint in run(*arguments, code=2).complaint


def test_publishing_requires_the_signature_that_is_trusted(run, journey, tmp_path):
    pytest.importorskip("model_signing")
    from tests.keys import write_pair

    write_pair(tmp_path, "release")
    (tmp_path / "trust.toml").write_text('public_keys = ["release.pub.pem"]\n')
    command = [
        "publish",
        journey.bundle,
        "--name",
        "support",
        "--registry",
        "registry",
        "--trust",
        "trust.toml",
    ]
    assert "has no file signature" in run(*command, code=2).complaint
    assert not (tmp_path / "registry").exists()
