"""The journey with every path in a bucket."""

import json

import pytest

from difficulty.bundle.registry import open_registry
from difficulty.errors import RegistryError
from difficulty.runtime import Router
from difficulty.stages.promote import fetch, publish
from difficulty.stages.thresholds import rechoose
from difficulty.storage.remote import Place
from difficulty.traffic.table import pq
from tests.storage.s3_server import busy


@pytest.fixture
def root(bucket, journey):
    Place(f"s3://{bucket}/bundles/small-1").copy_folder_out(journey.bundle)
    return f"s3://{bucket}"


def test_traffic_is_ingested_from_and_to_a_bucket(run, root, tmp_path, store):
    rows = [{"prompt": f"What is {n}?", "cheap_quality": n % 2} for n in range(20)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, {}]))
    Place(f"{root}/log.jsonl").copy_file_out(tmp_path / "log.jsonl")
    store.faults.append(busy(2))
    out = f"{root}/in/traffic.parquet"
    made = run("ingest", f"{root}/log.jsonl", "-o", out, "--allow-rejects", code=0)
    assert out in made.out
    assert "difficulty-copies" not in made.out + made.err
    assert Place(f"{root}/in").files() == [
        "traffic.parquet",
        "traffic.rejects.jsonl",
        "traffic.summary.json",
    ]
    again = run("ingest", f"{root}/log.jsonl", "-o", out, code=2)
    assert f"{out}' exists already" in again.complaint
    absent = run("train", f"{root}/no.parquet", "-o", "run", code=2)
    assert absent.complaint.startswith(f"error: nothing lies at '{root}/no.parquet'")


def test_bundle_in_a_bucket_is_verified_and_decides(run, root, journey):
    run("verify", f"{root}/bundles/small-1", code=0)
    remote, local = Router.load(f"{root}/bundles/small-1"), Router.load(journey.bundle)
    assert remote.decide("Hello there") == local.decide("Hello there")


def test_thresholds_are_chosen_into_a_bucket(root, journey):
    rechoose(
        f"{root}/bundles/small-1", journey.traffic, f"{root}/bundles/small-2", objective="share=0.5"
    )
    assert "manifest.json" in Place(f"{root}/bundles/small-2").files()
    assert Router.load(f"{root}/bundles/small-2").version == "small-2"


def test_registry_in_a_bucket_is_read_and_never_written(root, journey, tmp_path):
    registry = open_registry(str(tmp_path / "registry"))
    version = publish(journey.bundle, "small", registry)
    Place(f"{root}/registry").copy_folder_out(tmp_path / "registry")
    copy = open_registry(f"{root}/registry")
    assert copy.versions("small") == [version]
    assert fetch("small@challenger", copy, tmp_path / "small-1").digest == version.digest
    with pytest.raises(RegistryError, match="can be read alone"):
        copy.roll_back("small")
    with pytest.raises(RegistryError, match="no bundle 'other'"):
        copy.versions("other")


def test_files_in_a_bucket_are_scored_where_they_lie(run, root, journey, tmp_path, store):
    table = pq.read_table(journey.traffic).slice(0, 60)
    for name, part in (("a", table.slice(0, 40)), ("b", table.slice(40))):
        pq.write_table(part, tmp_path / name, row_group_size=16)
        Place(f"{root}/logs/{name}.parquet").copy_file_out(tmp_path / name)
    store.faults.append(busy(2))
    words = ["--input", f"{root}/logs/*.parquet", "--processes", 1, "--work-dir", tmp_path / "work"]
    bundle, out = f"{root}/bundles/small-1", f"{root}/scores.parquet"
    made = run("score", bundle, *words, "-o", out, code=0)
    assert f"wrote {out}" in made.out
    with Place(out).open() as file:
        assert pq.read_table(file).column("id").equals(table.column("id"))
    assert f"'{out}' exists already" in run("score", bundle, *words, "-o", out, code=2).complaint
