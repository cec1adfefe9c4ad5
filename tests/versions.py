"""Sound bundles that differ in their threshold, and damaged ones."""

import json
import os
import shutil
from dataclasses import replace
from itertools import count

from difficulty.bundle import read_bundle, write_bundle
from difficulty.runtime import Router
from difficulty.stages.choosing import policy_files
from tests.conftest import REPOSITORY

SAVED = REPOSITORY / "tests" / "data" / "bundle-format-1-1"
TEXT = "w3 w17 w3"
"""Scores 0.66 by the saved bundle."""
DAMAGES = ("byte", "missing", "golden")
"""A byte of the scorer is another, a file is gone, or the hashes fit and the golden vectors do
not.
"""
_COPIES = count()


def make_version(folder, number, *, threshold, name="words", source=SAVED):
    """Write a bundle's scorer with another threshold, and golden vectors that fit it; return the
    new folder.
    """
    old = read_bundle(source)
    policy = replace(old.policy, threshold=threshold)
    files = {
        **old.files,
        **policy_files(Router.from_bundle(old).scorer, policy, version=f"{name}-{number}"),
    }
    return write_bundle(
        folder / f"{name}-{number}", files, fields_of(old, name=name, version=str(number))
    ).path


def damage(folder, source, how):
    """Return a copy of a bundle that is no longer sound; see ``DAMAGES``."""
    bad = shutil.copytree(source, folder / f"bad-{how}-{next(_COPIES)}")
    if how == "byte":
        content = bytearray((bad / "scorer.onnx").read_bytes())
        content[len(content) // 2] ^= 1
        (bad / "scorer.onnx").write_bytes(content)
    elif how == "missing":
        (bad / "policy.json").unlink()
    elif how == "golden":
        return reseal(bad)
    return bad


def reseal(bad):
    """Rewrite a bundle so that its hashes fit and its golden vectors do not."""
    bundle = read_bundle(bad)
    rows = [json.loads(line) for line in bundle.files["golden.jsonl"].decode().split("\n") if line]
    rows[0]["threshold"] = 0.25
    files = {
        **bundle.files,
        "golden.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode(),
    }
    return write_bundle(bad.with_name(bad.name + "-1"), files, fields_of(bundle)).path


def point(link, target):
    """Replace a link in one step."""
    (scratch := link.with_name(".next")).symlink_to(target)
    os.replace(scratch, link)


def fields_of(bundle, **changes):
    """Return the fields of a bundle's manifest that writing it again needs."""
    return {**bundle.manifest.as_dict(without={"files", "sha256"}), **changes}
