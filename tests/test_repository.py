"""The rules of the house: who imports whom, what importing loads, what is exported, who prints."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections import Counter
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
    "answers",
    "conversation",
    "engine",
    "errors",
    "events",
    "form",
    "kinds",
    "metrics",
    "needs",
    "plugins",
    "recipe",
    "records",
    "request",
    "routes",
    "storage",
    "telemetry",
    "text",
    "tokens",
    "views",
}
"""Words that both halves share."""
LAB = (
    "tensors",
    "traffic",
    "perturb",
    "decisions",
    "replay",
    "alarms",
    "encoders",
    "channels",
    "model",
    "export",
    "answer_check",
    "evaluation",
    "thresholds",
    "early_exit",
    "diagnostics",
    "economics",
    "report",
    "monitor",
    "training",
    "labelling",
    "upkeep",
    "sklearn",
)
"""From the ground up: a room of the lab imports those that stand before it."""
ROUTER_SIDE = ("bundle", "runtime", "gateway")
"""The same for the router side."""
ABOVE = ("integrations", "serving", "stages", "face", "cli")
DOORS = ("", "__main__")
"""Not rooms: what ``import difficulty`` names, each resolved when it is asked for, and what
``python -m difficulty`` starts.
"""
MAY_IMPORT = (
    dict.fromkeys(GROUND, GROUND)
    | {room: GROUND | {*LAB[: place + 1]} for place, room in enumerate(LAB)}
    | {room: GROUND | {*ROUTER_SIDE[: place + 1]} for place, room in enumerate(ROUTER_SIDE)}
    | {"integrations": GROUND | {*ROUTER_SIDE, "integrations"}}
    | {"serving": GROUND | {*ROUTER_SIDE, "integrations", "serving"}}
    | {"stages": GROUND | {*LAB, *ROUTER_SIDE, "integrations", "stages"}}
    | {"face": GROUND | {*LAB, *ROUTER_SIDE, "integrations", "stages", "face"}}
    | {room: GROUND | {*LAB, *ROUTER_SIDE, *ABOVE} for room in ("cli", *DOORS)}
)
"""A room and the rooms it may import; the first part of a module's name after ``difficulty.`` is
its room.
"""
MAY_NAME = {
    "onnx": [
        "stages/bulk/block_graph.py",
        "stages/bulk/unpacked_table.py",
        "tensors.py",
        "export/graph.py",
        "answer_check/answer_graph.py",
        "early_exit.py",
        "encoders/quantise.py",
        "encoders/sentence.py",
        "encoders/transformer.py",
        "upkeep/composed_graph.py",
    ],
    "onnxruntime": ["runtime/", "encoders/transformer.py"],
    "tokenizers": ["tokens.py", "runtime/scorer.py", "encoders/sentence.py"],
    "sklearn": [
        "answer_check/",
        "channels/",
        "early_exit.py",
        "model/",
        "evaluation/",
        "labelling/",
        "sklearn/",
        "thresholds/",
    ],
    "scipy": [
        "answer_check/",
        "channels/",
        "early_exit.py",
        "encoders/",
        "diagnostics/",
        "metrics/intervals.py",
        "model/",
        "evaluation/",
        "thresholds/",
        "traffic/labels/judge.py",
    ],
    "pyarrow": ["face/given_data.py", "kinds.py", "traffic/"],
    "threadpoolctl": ["engine/threads.py"],
    "datasets": ["traffic/columnar.py"],
    "duckdb": ["decisions/"],
    "fsspec": ["storage/remote.py"],
    "py3langid": ["traffic/languages.py"],
    "cleanlab": ["diagnostics/suspicion.py"],
    "opentelemetry": ["gateway/counting.py", "gateway/log.py"],
    "prometheus_client": [],
    "mlflow": [
        "integrations/mlflow.py",
        "integrations/mlflow_registry.py",
        "traffic/formats/mlflow_traces.py",
    ],
    "model_signing": ["bundle/signature.py"],
    "cryptography": ["bundle/signature.py"],
    "litellm": [
        "integrations/litellm.py",
        "integrations/litellm_flow.py",
        "integrations/litellm_limits.py",
        "integrations/litellm_sdk.py",
        "labelling/model_calls.py",
    ],
    "starlette": ["serving/web_app.py"],
    "uvicorn": ["serving/asgi_server.py"],
    "httptools": [],
    "uvloop": [],
    "jsonschema": ["gateway/validators/structured.py"],
    "regex": ["gateway/validators/texts.py"],
    "typer": ["cli/"],
    "rich": ["cli/", "report/figures_table.py"],
    "jinja2": ["report/page.py"],
    "torch": ["encoders/sentence.py", "encoders/trainer.py"],
    "sentence_transformers": ["encoders/sentence.py"],
    "transformers": ["encoders/sentence.py", "encoders/trainer.py"],
    "accelerate": ["encoders/trainer.py"],
    "huggingface_hub": ["encoders/sentence.py", "integrations/hub.py"],
    "model2vec": ["encoders/"],
    "ray": ["engine/ray_engine.py", "engine/ray_training.py"],
    "matplotlib": ["evaluation/displays/", "stages/tracking/"],
    "pandas": ["evaluation/displays/frames.py", "evaluation/result.py", "face/traffic_data.py"],
    "polars": [],
    "pydantic": [],
    "pickle": [],
}
"""A package and the modules that may name it."""

HEAVY = {
    "cleanlab",
    "py3langid",
    "sklearn",
    "scipy",
    "torch",
    "pandas",
    "pyarrow",
    "mlflow",
    "datasets",
    "duckdb",
    "onnx",
    "jinja2",
    "typer",
    "rich",
    "opentelemetry",
    "litellm",
    "matplotlib",
    "starlette",
    "uvicorn",
    "model_signing",
    "cryptography",
    "ray",
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
    """The halves know nothing of each other, rooms know no stage, stages know no
    command.
    """
    wrong = {}
    for path, tree in SOURCES.items():
        names = [name.split(".") for name in imported(tree)]
        rooms = {name[1] for name in names if name[0] == "difficulty"} - {"__version__"}
        wrong[path] = rooms - MAY_IMPORT[room_of(path)]
    assert {path: rooms for path, rooms in wrong.items() if rooms} == {}


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
    loaded = loaded_by(
        [dotted(path) for path in SOURCES if room_of(path) in GROUND | {*ROUTER_SIDE}]
    )
    assert {"difficulty", "numpy"} <= loaded
    assert loaded & HEAVY == set()


def test_importing_the_package_loads_nothing_of_it():
    """``import difficulty`` names everything and loads it when it is asked for."""
    loaded = loaded_by(["difficulty"])
    assert {name for name in loaded if name.startswith("difficulty.")} | loaded & HEAVY == set()
    assert "numpy" not in loaded


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


LISTING = [path for path, tree in SOURCES.items() if any(map(_lists_exports, tree.body))]


@pytest.mark.parametrize("path", LISTING)
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


def test_no_file_has_the_name_of_another():
    """Except a room's ``__init__``, and a step of ``stages`` with the command that calls it."""
    places = [path for path in SOURCES if not path.endswith("__init__.py")]
    steps = {Path(path).name for path in places if room_of(path) == "stages"}
    names = Counter(
        Path(path).name
        for path in places
        if not (room_of(path) == "cli" and Path(path).name in steps)
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_no_class_has_the_name_of_another():
    names = Counter(
        node.name
        for tree in SOURCES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_modules_and_rooms_stay_of_a_size_to_walk_through():
    lengths = {path: (PACKAGE / path).read_text("utf-8").count("\n") for path in SOURCES}
    assert {path: length for path, length in lengths.items() if length > 600} == {}
    rooms = Counter(str(Path(path).parent) for path in SOURCES)
    assert {room: count for room, count in rooms.items() if count > 16} == {}


def test_no_modules_ask_for_each_other_in_a_circle():
    """Imports inside functions count too: a circle that runs late is a circle all the same."""
    modules = {dotted(path): tree for path, tree in SOURCES.items()}
    asked = {name: _modules_asked(tree, modules) - {name} for name, tree in modules.items()}
    while free := {name for name, others in asked.items() if not others & asked.keys()}:
        asked = {name: others for name, others in asked.items() if name not in free}
    assert asked == {}


def _modules_asked(tree, modules):
    """Return the modules that a module imports, or imports a name of."""
    names = set().union(*(imported(node) for node in tree.body if not _is_for_types(node)))
    return {name if name in modules else name.rpartition(".")[0] for name in names} & {*modules}


def _is_for_types(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


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


def test_lock_has_the_pinned_versions_and_hashes():
    """``requirements.lock`` holds what the base package needs, at the versions of the constraints;
    ``make lock`` writes it again.
    """
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    pinned = {
        line.partition(" ")[0].lower()
        for line in (REPOSITORY / "constraints.txt").read_text().splitlines()
    }
    entries = re.split(r"^(?=[a-z])", (REPOSITORY / "requirements.lock").read_text(), flags=re.M)
    locked = {re.match(r"[^ ;]+", entry)[0] for entry in entries if entry[0].isalpha()}
    assert locked - pinned == set()
    assert {*map(_name, project["dependencies"])} <= {line.split("==")[0] for line in locked}
    assert all("--hash=sha256:" in entry for entry in entries if entry[0].isalpha())


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
