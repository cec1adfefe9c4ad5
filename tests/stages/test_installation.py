"""What ``difficulty doctor`` says of an installation."""

import importlib.metadata
import sys

import pytest

from difficulty.bundle.folder_registry import locked
from difficulty.errors import (
    MissingExtraError,
    UnknownNameError,
    UnsupportedSystemError,
    install_command,
)
from difficulty.stages.setup import installation
from difficulty.stages.setup.installation import examine, extra_of, works
from tests.cli.conftest import run  # noqa: F401 (a fixture)
from tests.conftest import REPOSITORY
from tests.journey import forget

VERSION = importlib.metadata.version
NEEDS = [
    "numpy>=2.0",
    "onnxruntime>=1.20",
    'scikit-learn>=1.6; extra == "train"',
    'onnx>=1.17; extra == "train"',
    "model-signing>=1.1; extra == 'sign'",
    "model2vec[distill]>=0.7; extra == 'encoders'",
    "pytest>=8; extra == 'dev'",
]


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    """An installation with some requirements, all of them there."""
    monkeypatch.setattr(installation, "requires", lambda _: NEEDS)
    monkeypatch.setattr(installation, "version", lambda name: "999.0")
    monkeypatch.setattr(installation, "_find_shipped", lambda: None)


def by_name(lines):
    return {line.name: line for line in lines}


def test_whole_installation_works():
    lines = examine(["train"])
    assert works(lines)
    assert {line.state for line in lines} == {"ok"}
    assert [line.name for line in lines if line.name.startswith("extra")] == [
        "extra encoders",
        "extra sign",
        "extra train",
    ]


def test_missing_extra_is_told_and_counts_where_it_is_wanted(monkeypatch):
    def lacking(name):
        if name == "onnx":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.2" if name == "scikit-learn" else "999.0"

    monkeypatch.setattr(installation, "version", lacking)
    line = by_name(examine())["extra train"]
    assert line.state == "missing"
    assert line.told == (
        f"scikit-learn 1.2 is older than 1.6, onnx. Run: {install_command('train')}"
    )
    assert works(examine())
    assert not works(examine(["train"]))


def test_broken_package_is_told(monkeypatch):
    def broken(name):
        raise ImportError("libonnx.so:\n cannot open")

    monkeypatch.setattr(installation.importlib, "import_module", broken)
    lines = examine()
    assert by_name(lines)["onnxruntime"].told == "ImportError: libonnx.so: cannot open"
    assert not works(lines)


def test_old_python_does_not_do(monkeypatch):
    monkeypatch.setattr(installation, "OLDEST_PYTHON", (9, 1))
    line = by_name(examine())["python"]
    assert line.state == "broken"
    assert line.told.endswith(": 9.1 is needed")


def test_extra_that_there_is_not_is_refused():
    with pytest.raises(UnknownNameError, match=r"unknown extra 'trian', perhaps 'train' is meant"):
        examine(["trian"])


def test_source_that_was_never_installed_is_examined(monkeypatch):
    def absent(_):
        raise importlib.metadata.PackageNotFoundError("difficulty")

    monkeypatch.setattr(installation, "requires", absent)
    assert works(examine())


@pytest.mark.parametrize(
    ("package", "extra"),
    [("sklearn", "train"), ("model_signing", "sign"), ("model2vec", "encoders"), ("x", "train")],
)
def test_extra_of_a_package_is_known(package, extra):
    assert extra_of(package) == extra


def test_doctor_prints_a_line_for_each(run):  # noqa: F811
    written = run("doctor", code=0).out.splitlines()
    assert all(line.startswith("ok      ") for line in written[:-1])
    assert written[-1] == "everything that is needed works"


def test_doctor_fails_where_something_is_broken(run, monkeypatch):  # noqa: F811
    monkeypatch.setattr(installation, "_GRAPH", b"no graph")
    told = run("doctor", code=1).out
    assert "\nbroken  scoring" in told
    assert told.endswith("not everything works\n")
    assert '"works": false' in run("doctor", "--json", code=1).out


def test_install_command_is_of_the_checkout(monkeypatch, tmp_path):
    monkeypatch.chdir(REPOSITORY)
    assert install_command("train") == "pip install -e '.[train]'"
    monkeypatch.chdir(tmp_path)
    assert install_command("train") == f"pip install -e '{REPOSITORY}[train]'"


class _Origin:
    def __init__(self, text):
        self.text = text

    def read_text(self, _):
        return self.text


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (None, "pip install 'difficulty[sign]'"),
        ("damaged", "pip install 'difficulty[sign]'"),
        ('{"url": "file:///w/d.whl"}', "pip install 'difficulty[sign] @ file:///w/d.whl'"),
        (
            '{"url": "https://x/d", "vcs_info": {"vcs": "git", "commit_id": "abc"}}',
            "pip install 'difficulty[sign] @ git+https://x/d@abc'",
        ),
    ],
)
def test_install_command_is_of_where_it_came_from(monkeypatch, origin, command):
    monkeypatch.setattr("difficulty.errors.__file__", "/site-packages/difficulty/errors.py")
    monkeypatch.setattr("importlib.metadata.distribution", lambda _: _Origin(origin))
    assert install_command("sign") == command
    assert str(MissingExtraError("signing", package="x", extra="sign")).endswith(f"Run: {command}")


def test_what_posix_alone_has_is_no_extra(run, monkeypatch, tmp_path):  # noqa: F811
    forget(monkeypatch, "fcntl")
    with pytest.raises(UnsupportedSystemError, match="changing a registry needs 'fcntl', which Li"):
        with locked(tmp_path / "lock"):
            pass
    monkeypatch.setattr("difficulty.cli.app.build_app", lambda: __import__("fcntl"))
    assert sys.modules["fcntl"] is None
    assert "this command needs 'fcntl', which Linux and macOS have" in run("doctor", code=2).err
