"""What is released: built from a copy of its files, and installed where nothing else is."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
SUPPORTED = [f"3.{minor}" for minor in range(11, 15)]


def find_python(version):
    """Return an interpreter of a version, or ``None``."""
    places = [shutil.which(f"python{version}")]
    places += map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        places.insert(0, sys.executable)
    for place in filter(None, places):
        run = [place, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        told = subprocess.run(run, capture_output=True, text=True, check=False)
        if told.stdout.strip() == version:
            return place
    return None


class Environment:
    """An empty environment of some Python."""

    def __init__(self, python, folder):
        subprocess.run([python, "-m", "venv", folder], check=True)
        self.bin = folder / "bin"
        # Else the checkout would be tried in place of the wheel.
        self.variables = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}

    def install(self, *wanted):
        """Install packages at the versions of the constraints."""
        constraints = ["--constraint", str(REPOSITORY / "constraints.txt")]
        quiet = ["-qq", "--disable-pip-version-check"]
        self.run("python", "-m", "pip", "install", *quiet, *constraints, *wanted)

    def run(self, program, *arguments, code=0, cwd=None):
        """Run a program of the environment and return what it printed."""
        done = subprocess.run(
            [self.bin / program, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=cwd or self.bin,
            env=self.variables,
            check=False,
        )
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    tools = Environment(sys.executable, folder / "tools")
    tools.install("build")
    tools.run("python", "-m", "build", "--outdir", folder, REPOSITORY)
    return next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))


def test_every_supported_python_is_classified():
    listed = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))
    assert listed == SUPPORTED
    assert PROJECT["project"]["requires-python"] == f">={SUPPORTED[0]}"


def test_readme_on_the_index_leads_to_the_repository():
    """The address stands in the metadata and in the substitutions: one and the same."""
    home = PROJECT["project"]["urls"]["Homepage"].removeprefix("https://github.com/")
    rules = PROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for rule in rules:
        assert f".com/{home}/" in rule["replacement"]
        text = re.sub(rule["pattern"], rule["replacement"], text)
    targets = re.findall(r"\]\(([^)]+)\)", text)
    assert targets
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []


@pytest.mark.slow
def test_metadata_and_files_are_whole(built):
    sdist, wheel = built
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith("/METADATA"))).decode()
    assert {"difficulty/py.typed", "difficulty/_shipped/pipelines/fast.toml"} <= {*names}
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]
    assert "HFPR_VERSION" not in metadata
    assert "](docs/" not in metadata
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "CHANGELOG.md", "tests/conftest.py", "docs/python.md"} <= inside


@pytest.mark.slow
@pytest.mark.parametrize("version", SUPPORTED)
def test_base_package_routes(version, built, journey, tmp_path):
    python = find_python(version)
    if python is None:
        pytest.skip(f"no Python {version} here")
    environment = Environment(python, tmp_path / "env")
    environment.install(built[1])
    environment.run("difficulty", "doctor")
    environment.run("difficulty", "verify", journey.bundle)
    told = environment.run("difficulty", "route", journey.bundle, "Plan a move.", "--json")
    assert json.loads(told)["route"] in ("cheap", "frontier")
    code = (
        f"import difficulty as d; print(d.Router.load({str(journey.bundle)!r}).decide('x').model)"
    )
    assert environment.run("python", "-c", code).strip()
    told = environment.run("difficulty", "doctor", "--extra", "train", code=1)
    assert f"difficulty[train] @ {built[1].as_uri()}" in told


@pytest.mark.slow
def test_wheel_with_its_extra_trains(built, journey, tmp_path):
    environment = Environment(sys.executable, tmp_path / "env")
    environment.install(f"difficulty[train,plot] @ {built[1].as_uri()}")
    environment.run("difficulty", "doctor", "--extra", "train", "--extra", "plot")
    (tmp_path / "calls.jsonl").write_bytes(journey.source.read_bytes())
    notebook = REPOSITORY / "examples" / "notebook" / "first_router.py"
    environment.run("python", notebook, cwd=tmp_path)
    assert (tmp_path / "bundles" / "support-1" / "scorer.onnx").is_file()
