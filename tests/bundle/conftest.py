"""A small saved bundle to damage."""

import shutil

import pytest

from tests.conftest import REPOSITORY

SAVED = REPOSITORY / "tests" / "data" / "bundle-format-1-1"


@pytest.fixture
def bundle(tmp_path):
    """A copy of the saved bundle."""
    return shutil.copytree(SAVED, tmp_path / "copy-1")
