"""Files and folders behind a URL, on a store that speaks S3 and in memory."""

import os
import re
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import fsspec
import pytest

from difficulty.errors import (
    DifficultyError,
    MissingExtraError,
    OutputExistsError,
    StorageError,
    StorageNotFoundError,
)
from difficulty.storage.remote import MARK, Place
from tests.storage.s3_server import busy, refusing, slow


@pytest.fixture(params=["s3", "memory"])
def root(request, tmp_path):
    """Return the URL of an empty folder, of a store with and without whole uploads."""
    if request.param == "s3":
        return f"s3://{request.getfixturevalue('bucket')}/here"
    return f"memory://{tmp_path.name}/here"


def folder_of(path, **files):
    path.mkdir()
    for name, content in files.items():
        (path / name.replace("__", "/")).parent.mkdir(exist_ok=True)
        (path / name.replace("__", "/")).write_bytes(content)
    return path


def test_file_goes_there_and_back(root, tmp_path):
    (tmp_path / "a").write_bytes(bytes(range(256)) * 100)
    place = Place(f"{root}/a.bin")
    assert not place.exists()
    place.copy_file_out(tmp_path / "a")
    place.copy_in(tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()
    assert Place(root).files() == ["a.bin"]


def test_folder_goes_there_and_back(root, tmp_path):
    files = {"manifest.json": b"{}", "a": b"1", "deep__b": b"2"}
    Place(f"{root}/run").copy_folder_out(folder_of(tmp_path / "run", **files))
    Place(f"{root}/run").copy_in(tmp_path / "back")
    assert Place(f"{root}/run").files() == ["a", "deep/b", "manifest.json"]
    assert (tmp_path / "back" / "deep" / "b").read_bytes() == b"2"
    with pytest.raises(OutputExistsError, match="exists already"):
        Place(f"{root}/run").copy_folder_out(tmp_path / "run")


def test_file_is_read_in_blocks(bucket, store, tmp_path, monkeypatch):
    monkeypatch.setattr("difficulty.storage.remote._BLOCK", 1000)
    store.client().put_object(Bucket=bucket, Key="a", Body=bytes(range(250)) * 10)
    place = Place(f"s3://{bucket}/a")
    store.faults.append(busy(2))
    place.copy_in(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == bytes(range(250)) * 10
    with place.open() as file:
        file.seek(-3, os.SEEK_END)
        assert (file.tell(), file.read(), file.read()) == (2497, bytes([247, 248, 249]), b"")


def test_slow_store_is_waited_for(bucket, store, tmp_path):
    store.client().put_object(Bucket=bucket, Key="a", Body=b"x")
    store.faults.append(slow(0.02))
    Place(f"s3://{bucket}/a").copy_in(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"x"


def test_busy_store_is_asked_again(bucket, store, tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    store.faults.append(busy(3, method="PUT"))
    Place(f"s3://{bucket}/a").copy_file_out(tmp_path / "a")
    Place(f"s3://{bucket}/a").copy_in(tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"x"


def test_store_that_stays_busy_is_told(bucket, store, tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    store.faults.append(busy(1000, method="PUT"))
    with pytest.raises(StorageError, match=r"after 4 tries.*Run the command again"):
        Place(f"s3://{bucket}/a").copy_file_out(tmp_path / "a")
    assert store.keys(bucket) == []


def test_upload_that_is_cut_shows_nothing(bucket, store, tmp_path, monkeypatch):
    """A large file goes in parts; when one of them cannot be sent, no part stays."""
    monkeypatch.setattr("s3fs.core.calculate_chunksize", lambda size, chunksize=None: 5 * 2**20)
    (tmp_path / "a").write_bytes(bytes(12 * 2**20))
    sent = []

    def second_part(environ):
        sent.append(environ.get("QUERY_STRING", ""))
        return 403 if "partNumber=2" in sent[-1] else None

    store.faults.append(second_part)
    with pytest.raises(DifficultyError, match="may not be used"):
        Place(f"s3://{bucket}/a").copy_file_out(tmp_path / "a")
    assert any("partNumber=1" in query for query in sent)
    assert store.keys(bucket) == []
    assert "Uploads" not in store.client().list_multipart_uploads(Bucket=bucket)
    store.faults.clear()
    Place(f"s3://{bucket}/a").copy_file_out(tmp_path / "a")
    assert Place(f"s3://{bucket}/a").size() == 12 * 2**20


def test_folder_that_is_cut_is_refused_by_readers_and_replaced_when_old(
    bucket, store, tmp_path, monkeypatch
):
    run = folder_of(tmp_path / "run", **{"manifest.json": b"{}", "a": b"1", "b": b"2"})
    place = Place(f"s3://{bucket}/run")
    store.faults.append(refusing("/b", status=403))
    with pytest.raises(StorageError):
        place.copy_folder_out(run)
    store.faults.clear()
    assert place.files() == [MARK, "a"]
    with pytest.raises(StorageError, match="under way, or was cut"):
        place.copy_in(tmp_path / "back")
    with pytest.raises(OutputExistsError, match="0 minutes ago"):
        place.copy_folder_out(run)
    monkeypatch.setattr("difficulty.storage.remote._STALE_S", -1.0)
    place.copy_folder_out(run)
    assert place.files() == ["a", "b", "manifest.json"]


def test_files_are_found_by_pattern(root, tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    for name in ("b.jsonl", "a.jsonl", "c.txt"):
        Place(f"{root}/{name}").copy_file_out(tmp_path / "a")
    found = Place(f"{root}/*.jsonl").matching()
    assert [url.removeprefix(root) for url in found] == ["/a.jsonl", "/b.jsonl"]
    assert Place(f"{root}/a.jsonl").siblings("*.txt") == ["c.txt"]
    with pytest.raises(StorageNotFoundError, match="no file fits"):
        Place(f"{root}/*.csv").matching()


def test_file_that_changes_while_it_is_read_is_refused(root, tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"xyz")
    place = Place(f"{root}/a")
    place.copy_file_out(tmp_path / "a")
    read = Place.read

    def change(self, start, end):
        content = read(self, start, end)
        (tmp_path / "a").write_bytes(b"abcd")
        place.copy_file_out(tmp_path / "a")
        return content

    monkeypatch.setattr(Place, "read", change)
    with pytest.raises(StorageError, match="changed while it was read"):
        place.copy_in(tmp_path / "b")


def test_nothing_there_is_told(bucket, tmp_path):
    with pytest.raises(StorageNotFoundError, match="nothing lies at 's3://.*/no'"):
        Place(f"s3://{bucket}/no").copy_in(tmp_path / "a")
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(StorageNotFoundError, match="Its bucket does not exist"):
        Place("s3://no-such-bucket/a").copy_file_out(tmp_path / "a")
    with pytest.raises(StorageNotFoundError, match="Its bucket does not exist"):
        Place("s3://no-such-bucket/a").exists()  # told before long work
    assert not Place(f"s3://{bucket}/no").exists()
    with pytest.raises(StorageNotFoundError, match=r"'s3://bucket-\d+/no'\. Check the address"):
        Place(f"s3://{bucket}/no").is_folder()


def test_missing_credentials_are_told(bucket, tmp_path, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    with pytest.raises(StorageError, match="needs credentials.*AWS_ACCESS_KEY_ID"):
        Place(f"s3://{bucket}/a").copy_in(tmp_path / "a")


def test_refused_credentials_are_told(bucket, store, tmp_path):
    store.faults.append(lambda environ: 403)
    with pytest.raises(StorageError, match="may not be used with these credentials"):
        Place(f"s3://{bucket}/a").copy_in(tmp_path / "a")


class _Answering(BaseHTTPRequestHandler):
    """A server that answers with the number that the address ends with."""

    def do_GET(self):
        self.send_response(int(self.path.rpartition("/")[2]))
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def answering():
    """Return the address of a web server that answers as asked."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answering) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def closed():
    """Return a host and port at which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize("step", ["copy_in", "exists"])
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("{answering}/403", "may not be used with these credentials: access was denied"),
        ("{answering}/401", "may not be used with these credentials: access was denied"),
        ("{answering}/503", "could not be read or written after 4 tries: its server answered 503"),
        ("http://{closed}/a", "cannot be reached: the connection was refused. Check the address"),
        ("ftp://{closed}/a", "cannot be reached: the connection was refused. Check the address"),
        ("s3://bucket/a", "cannot be reached: the connection was refused. Check the address, and"),
        ("http://no.invalid/a", "cannot be reached: no host 'no.invalid' was found"),
        ("ftp://no.invalid/a", "cannot be reached: no host 'no.invalid' was found"),
    ],
)
def test_what_went_wrong_is_one_sentence(answering, closed, url, said, step, tmp_path, monkeypatch):
    """Not "nothing lies there" of what could not be asked, and no name of Python's."""
    monkeypatch.setattr("difficulty.storage.remote._FIRST_WAIT_S", 0.001)
    settings = {
        "AWS_ENDPOINT_URL": f"http://{closed}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    at = url.format(answering=answering, closed=closed)
    words = (tmp_path / "a",) if step == "copy_in" else ()
    with pytest.raises(StorageError, match=re.escape(said)) as raised:
        getattr(Place(at), step)(*words)
    assert not isinstance(raised.value, StorageNotFoundError)
    assert not re.search(r"Error|Exception|Errno|\[", str(raised.value))
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def test_page_that_is_not_there_is_told(answering, tmp_path):
    with pytest.raises(StorageNotFoundError, match="nothing lies at"):
        Place(f"{answering}/404").copy_in(tmp_path / "a")
    assert not Place(f"{answering}/404").exists()


@pytest.mark.parametrize(
    ("scheme", "advice"), [("gs", "pip install gcsfs"), ("abfs", "pip install adlfs")]
)
def test_missing_package_is_named(scheme, advice):
    with pytest.raises(MissingExtraError, match=advice):
        Place(f"{scheme}://bucket/a")


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingExtraError, match=r"\[remote\]"):
        Place("s3://bucket/a")
