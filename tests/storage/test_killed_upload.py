"""A process that is killed while it uploads leaves nothing that a reader takes for whole."""

import subprocess
import sys
from threading import Event

import pytest

from difficulty.errors import StorageError
from difficulty.storage.remote import Place

SCRIPT = (
    "import sys; from pathlib import Path; from difficulty.storage.remote import Place;"
    "place, path = Place(sys.argv[1]), Path(sys.argv[2]);"
    "(place.copy_folder_out if path.is_dir() else place.copy_file_out)(path)"
)


@pytest.mark.slow
@pytest.mark.parametrize("is_folder", [False, True])
def test_killed_upload_is_never_seen_as_whole(bucket, store, tmp_path, is_folder):
    path = tmp_path / "run"
    if is_folder:
        path.mkdir()
        for name in ("a", "b", "manifest.json"):
            (path / name).write_text(name)
    else:
        path.write_bytes(bytes(30_000_000))
    reached, go_on = Event(), Event()

    def hold(environ):
        if environ["REQUEST_METHOD"] == "PUT" and environ["PATH_INFO"].endswith(("/run", "/b")):
            environ["wsgi.input"].read(1)
            reached.set()
            go_on.wait(20)
            return 500
        return None

    store.faults.append(hold)
    job = subprocess.Popen([sys.executable, "-c", SCRIPT, f"s3://{bucket}/run", str(path)])
    assert reached.wait(20)
    job.kill()
    job.wait()
    store.faults.clear()
    go_on.set()
    assert store.keys(bucket, "run/manifest.json") + store.keys(bucket, "run/b") == []
    if is_folder:
        with pytest.raises(StorageError, match="under way, or was cut"):
            Place(f"s3://{bucket}/run").copy_in(tmp_path / "back")
    else:
        assert not Place(f"s3://{bucket}/run").exists()
