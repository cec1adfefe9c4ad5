"""One store for all tests of the room, with an empty bucket for each."""

import itertools

import fsspec
import pytest

from tests.cli.conftest import run  # noqa: F401 (a fixture)
from tests.storage.s3_server import S3Server

_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def store():
    with S3Server() as server:
        yield server


@pytest.fixture
def bucket(store, monkeypatch):
    """Return the name of an empty bucket that s3:// finds."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # ours are what is tested
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
    monkeypatch.setattr("difficulty.storage.remote._FIRST_WAIT_S", 0.001)
    name = f"bucket-{next(_NUMBERS)}"
    store.client().create_bucket(Bucket=name)
    store.faults.clear()
    store.asked.clear()
    yield name
    store.faults.clear()
    # A storage keeps the settings it was made with.
    fsspec.get_filesystem_class("s3").clear_instance_cache()
