"""Logs whose rows stay with the workers of an engine: the same table as that of one process."""

import gzip
import json
from contextlib import contextmanager

import duckdb
import pytest

from difficulty.decisions import log_shards, read_decisions, spread_decisions, spread_table
from difficulty.engine import LocalEngine
from difficulty.engine.local_engine import LocalShards, _ask
from difficulty.engine.work import Host
from difficulty.errors import EngineError, LogError
from tests.decisions.test_decision_table import lines, numbered


class Losing(LocalEngine):
    """Loses its worker, with all that was done in it, at every so many calls."""

    def __init__(self, every=8):
        super().__init__()
        self.every, self.calls = every, 0

    @contextmanager
    def hold(self, work, shards):
        """Open the shards again and again."""
        homes = [0] * len(shards)
        host = Host(work, dict(enumerate(shards)), homes)

        def ask(tasks):
            nonlocal host
            self.calls += 1
            if self.calls % self.every == 0:
                host = Host(work, dict(enumerate(shards)), homes)
            return [_ask(host, task) for _, task in tasks]

        yield LocalShards(ask)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files that are packed, cut off, damaged, nested too deeply, doubled and of Parquet; ids that
    events of two files share, and numbers of a writer that went back.
    """
    folder = tmp_path_factory.mktemp("odd")
    late, early = numbered(9, writer="s")[8:], numbered(3, writer="s", seq=100)[:1]
    (folder / "a.jsonl").write_bytes(lines(*numbered(5)) + b"{no json}\n" + b'{"id": "torn')
    whole = gzip.compress(lines(*numbered(4, writer="v"), *numbered(300, writer="u")))
    (folder / "c.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    deep = b'{"format":1,"id":"d","messages":' + b"[" * 5_000 + b"]" * 5_000 + b"}\n"
    (folder / "d[1].jsonl").write_bytes(lines(*late) + deep)
    doubled = numbered(2, writer="v")
    (folder / "e.jsonl").write_bytes(lines(*doubled, *early))
    duckdb.sql(f"SELECT * FROM read_json('{folder}/a.jsonl', ignore_errors = true)").write_parquet(
        str(folder / "f.parquet")
    )
    return folder


@pytest.fixture
def small_parts(monkeypatch):
    """A part for each file, and keys that meet some at a time."""
    monkeypatch.setattr(log_shards, "PART_BYTES", 1)
    monkeypatch.setattr(spread_table, "_ROUND", 100)


def rows_of(table):
    return repr({name: values.tolist() for name, values in table.arrays(table.columns).items()})


@pytest.mark.usefixtures("small_parts")
def test_rows_are_those_of_one_table_though_workers_are_lost(folder, tmp_path):
    said = tmp_path / "said.jsonl"
    ids = [json.loads(line)["id"] for line in lines(*numbered(41, writer="u")).splitlines()]
    feedback = [{"id": ids[n], "quality": n % 2} for n in (0, 7, 40)] + [{"id": "?", "quality": 1}]
    said.write_text("".join(json.dumps(row) + "\n" for row in feedback))
    with read_decisions(folder, outcomes=[said]) as table:
        wanted, reading = rows_of(table), table.reading
    engine = Losing()
    work_dir = tmp_path / "work"
    with spread_decisions(folder, engine, outcomes=[said], work_dir=work_dir) as table:
        assert table.reading == reading
        assert rows_of(table) == wanted
    assert reading.doubled
    assert reading.shared_ids
    assert reading.out_of_order == 1
    assert reading.joined == 2
    assert engine.calls > 16
    assert not list(work_dir.iterdir())


@pytest.mark.usefixtures("small_parts")
def test_files_that_workers_do_not_see_are_sent(tmp_path, monkeypatch):
    """And whole numbers come back that are beyond those of Parquet, as exact sums are."""
    for writer in "vw":
        (tmp_path / f"{writer}.jsonl").write_bytes(lines(*numbered(3, writer=writer)))
    monkeypatch.setattr(log_shards, "_grown_from", lambda file: False)
    with spread_decisions(tmp_path, LocalEngine()) as table:
        assert table.reading.files == 2
        assert table.reading.events == 6
        table.gather(
            "big", "SELECT CAST(count(*) AS HUGEINT) * (1::HUGEINT << 100) AS n FROM events"
        )
        assert table.connection.execute("SELECT sum(n) FROM big").fetchone() == (6 << 100,)


@pytest.mark.usefixtures("small_parts")
def test_worker_lost_again_and_again_is_an_error(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(lines(*numbered(3)))
    with pytest.raises(EngineError, match="a part of the log has to stay with some worker"):
        spread_decisions(tmp_path, Losing(every=1))


def test_file_that_is_no_log_is_refused_by_its_name(tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 but nothing else")
    with pytest.raises(LogError, match=r"bad\.parquet"):
        spread_decisions(tmp_path, LocalEngine())


def test_log_that_changed_since_its_worker_was_lost_is_refused(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_bytes(lines(*numbered(5)))
    with spread_decisions(file, Losing(every=1_000)) as table:
        table._engine.every = 1
        file.write_bytes(lines(*numbered(6)))
        with pytest.raises(LogError, match="must stay as it is"):
            table.gather("sizes", "SELECT count(*) AS n FROM events")


@pytest.mark.parametrize(("workers", "n"), [(1, 1), (2, 2), (3, 3)])
def test_files_are_split_in_parts_for_all_workers(workers, n, tmp_path):
    for name in "abc":
        (tmp_path / name).write_bytes(b"x" * 10)
    files = [log_shards.LogFile.of(tmp_path / name) for name in "abc"]
    parts = log_shards.split_files(files, workers)
    assert len(parts) == n
    assert [file for part in parts for file in part] == files
