"""Sound bundles that differ in their threshold."""

from dataclasses import replace

from difficulty.bundle import read_bundle, write_bundle
from difficulty.runtime import Router
from difficulty.stages.policy import policy_files
from tests.conftest import REPOSITORY

SAVED = REPOSITORY / "tests" / "data" / "bundle-format-1-1"
TEXT = "w3 w17 w3"
"""Scores 0.66 by the saved bundle."""


def make_version(folder, number, *, threshold, name="words", source=SAVED):
    """Write a bundle's scorer with another threshold, and golden vectors that fit it; return the new folder."""
    old = read_bundle(source)
    policy = replace(old.policy, threshold=threshold)
    files = {**old.files, **policy_files(Router.from_bundle(old).scorer, policy, version=f"{name}-{number}")}
    return write_bundle(folder / f"{name}-{number}", files, fields_of(old, name=name, version=str(number))).path


def fields_of(bundle, **changes):
    """Return the fields of a bundle's manifest that writing it again needs."""
    return {**bundle.manifest.as_dict(without={"files", "sha256"}), **changes}
