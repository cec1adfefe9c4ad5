"""The rules of the house: who imports whom, what importing loads, what is exported, who prints."""

import ast
import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, require_program

PACKAGE = REPOSITORY / "difficulty"
SOURCES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
}

GROUND = {
    "",
    "errors",
    "events",
    "form",
    "plugins",
    "records",
    "recipe",
    "route",
    "storage",
    "text",
    "tokens",
    "wordpiece",
    "metrics",
}
LAB = {"traffic", "features", "model", "evaluation", "thresholds", "export", "economics", "labels"}
ROUTER_SIDE = {"bundle", "runtime"}
ABOVE = {"integrations", "stages", "cli"}
MAY_IMPORT = (
    dict.fromkeys(GROUND, GROUND)
    | dict.fromkeys(LAB, GROUND | LAB)
    | {"export": GROUND | LAB | {"runtime"}}
    | {"bundle": GROUND | {"bundle"}, "runtime": GROUND | ROUTER_SIDE}
    | {"integrations": GROUND | LAB | ROUTER_SIDE | {"integrations"}}
    | {"stages": GROUND | LAB | ROUTER_SIDE | {"integrations", "stages"}}
    | {"cli": GROUND | LAB | ROUTER_SIDE | ABOVE}
)
"""A room and the rooms it may import; the first part of a module's name after ``difficulty.`` is
its room.
"""

MAY_NAME = {
    "onnx": ["export/", "features/quantise.py", "features/sentence.py"],
    "onnxruntime": ["runtime/", "features/transformer.py"],
    "tokenizers": ["tokens.py", "wordpiece.py", "runtime/scorer.py", "features/sentence.py"],
    "sklearn": ["model/", "evaluation/", "thresholds/"],
    "scipy": ["features/", "labels/", "model/", "evaluation/", "thresholds/"],
    "pyarrow": ["traffic/", "runtime/log/parquet.py"],
    "threadpoolctl": ["evaluation/evaluate.py"],
    "datasets": ["traffic/readers/saved_dataset.py"],
    "datasketch": ["traffic/signatures.py"],
    "cleanlab": ["labels/rows.py"],
    "opentelemetry": ["runtime/log/opentelemetry.py"],
    "mlflow": [
        "integrations/mlflow.py",
        "integrations/mlflow_registry.py",
        "integrations/mlflow_model.py",
    ],
    "model_signing": ["bundle/signature.py"],
    "cryptography": ["bundle/signature.py"],
    "litellm": ["integrations/litellm.py"],
    "jsonschema": ["runtime/validators/json_schema.py"],
    "regex": ["runtime/validators/regex.py"],
    "typer": ["cli/"],
    "rich": ["cli/", "evaluation/table.py", "economics/table.py"],
    "torch": ["features/sentence.py", "features/finetune.py"],
    "sentence_transformers": ["features/sentence.py"],
    "transformers": ["features/sentence.py"],
    "huggingface_hub": ["features/sentence.py"],
    "model2vec": ["features/"],
    "pandas": [],
    "pydantic": [],
    "pickle": [],
}
"""A package and the modules that may name it."""

HEAVY = {
    "cleanlab",
    "sklearn",
    "scipy",
    "torch",
    "pandas",
    "pyarrow",
    "mlflow",
    "datasets",
    "datasketch",
    "onnx",
    "jinja2",
    "typer",
    "rich",
    "opentelemetry",
    "litellm",
    "model_signing",
    "cryptography",
}

LOAD = (
    "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]];"
    " print(*sys.modules)"
)


def imported(tree):
    """Return the full names that a module imports anywhere, also inside functions."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {
                f"{node.module}.{alias.name}" if node.level == 0 else "." * node.level
                for alias in node.names
            }
    return names


def room_of(path):
    """Return the room of a source file or of a dotted name below ``difficulty``."""
    return path.removesuffix(".py").replace("__init__", "").split("/")[0]


def dotted(path):
    return ".".join(
        ["difficulty", *path.removesuffix(".py").removesuffix("__init__").strip("/").split("/")]
    ).strip(".")


def test_modules_import_only_rooms_below_their_own():
    """The lab knows no router side except for the parity gate, rooms know no stage, stages know no
    command.
    """
    wrong = {}
    for path, tree in SOURCES.items():
        names = [name.split(".") for name in imported(tree)]
        rooms = {name[1] for name in names if name[0] == "difficulty"} - {"__version__"}
        wrong[path] = rooms - MAY_IMPORT[room_of(path)]
    assert {path: rooms for path, rooms in wrong.items() if rooms} == {}


def test_only_the_parity_gate_of_the_lab_asks_the_runtime():
    asking = {
        path
        for path, tree in SOURCES.items()
        if any(name.startswith("difficulty.runtime") for name in imported(tree))
    }
    assert {path for path in asking if room_of(path) in LAB} <= {"export/parity.py"}


def test_modules_import_by_full_name():
    assert [
        path
        for path, tree in SOURCES.items()
        if any(name.startswith(".") for name in imported(tree))
    ] == []


@pytest.mark.parametrize("package", MAY_NAME)
def test_dependency_is_named_only_where_it_belongs(package):
    naming = [
        path
        for path, tree in SOURCES.items()
        if any(name.split(".")[0] == package for name in imported(tree))
    ]
    assert [path for path in naming if not path.startswith(tuple(MAY_NAME[package]))] == []


def loaded_by(names):
    """Return the full names of the modules in memory after a fresh interpreter has imported
    some.
    """
    run = [sys.executable, "-c", LOAD, *names]
    return set(
        subprocess.run(
            run, capture_output=True, text=True, check=True, cwd=REPOSITORY
        ).stdout.split()
    )


def test_ground_floor_and_router_side_load_nothing_heavy():
    """Every module a router may import, imported at once in a fresh interpreter."""
    loaded = loaded_by([dotted(path) for path in SOURCES if room_of(path) in GROUND | ROUTER_SIDE])
    assert {"difficulty", "numpy"} <= loaded
    assert loaded & HEAVY == set()


def test_runtime_loads_nothing_that_makes_a_start_slow():
    """What only settings and event loops need costs a router that uses neither a third of its
    start.
    """
    slow = {
        "pydantic",
        "asyncio",
        "tomllib",
        "tempfile",
        "difficulty.records",
        "difficulty.bundle.signature",
    }
    assert loaded_by(["difficulty.runtime"]) & slow == set()


def test_naming_stages_and_commands_loads_no_trainer():
    """``import difficulty.stages`` and ``difficulty.cli`` answer ``--help`` fast, so they load
    neither scikit-learn nor mlflow.
    """
    assert loaded_by(["difficulty.stages", "difficulty.cli"]) & (HEAVY - {"typer", "rich"}) == set()


def test_only_doors_say_what_they_export():
    """A room's ``__init__`` lists what it hands on; elsewhere an underscore marks what stays."""
    listing = {path for path, tree in SOURCES.items() if any(map(_lists_exports, tree.body))}
    assert {path for path in listing if not path.endswith("__init__.py")} == set()


def _lists_exports(node):
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets
    )


DOORS = [path for path, tree in SOURCES.items() if any(map(_lists_exports, tree.body))]


@pytest.mark.parametrize("path", DOORS)
def test_door_names_each_thing_once_and_only_what_exists(path):
    module = importlib.import_module(dotted(path))
    assert len(set(module.__all__)) == len(module.__all__)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_nothing_prints_outside_the_command_line():
    """Neither ``print`` and ``input`` nor the standard streams are named."""
    printing = [
        path
        for path, tree in SOURCES.items()
        if room_of(path) != "cli" and any(map(_prints, ast.walk(tree)))
    ]
    assert printing == []


def _prints(node):
    if isinstance(node, ast.Attribute):
        return node.attr in {"stdout", "stderr"}
    named = isinstance(node, ast.Name) and isinstance(
        node.ctx, ast.Load
    )  # a field may be called input
    return named and node.id in {"print", "input"}


def test_every_room_is_one_that_the_rules_know():
    """A new folder or file at the top needs a place in the rules above."""
    assert {room_of(path) for path in SOURCES} <= set(MAY_IMPORT)


def test_every_dependency_is_pinned():
    """Everything that pyproject.toml names, in any extra, has one version in constraints.txt."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    pinned = {
        line.split("==")[0]
        for line in (REPOSITORY / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    assert {name for name in map(_name, wanted) if name not in pinned} == set()


def _name(requirement):
    """Return ``model2vec`` for ``model2vec[distill]>=0.7``."""
    for mark in "[><=":
        requirement = requirement.partition(mark)[0]
    return requirement


@pytest.mark.parametrize(
    ("required", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)]
)
def test_missing_program_skips_here_and_fails_in_ci(monkeypatch, required, outcome):
    monkeypatch.setenv("DIFFICULTY_REQUIRE_PROGRAMS", required)
    with pytest.raises(outcome, match="no-such-program"):
        require_program("no-such-program")


def test_present_program_is_found():
    assert Path(require_program("sh")).name == "sh"
