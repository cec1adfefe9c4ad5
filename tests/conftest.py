import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


def public_data(variable: str, default: str) -> Path:
    """Return a folder of public data that is not in the repository, or skip."""
    path = Path(os.environ.get(variable, REPOSITORY / default))
    if not path.is_dir():
        pytest.skip(f"no data at {path}: set {variable}")
    return path


@pytest.fixture(scope="session")
def routellm() -> Path:
    return public_data("DIFFICULTY_ROUTELLM", "../shared/data/raw/RouteLLM")


@pytest.fixture(scope="session")
def normalised() -> Path:
    return public_data("DIFFICULTY_TOOLS", "../shared/data/normalised")
