"""The folder that is shipped: its manifest, its policy, how it is written and how it is checked. No
lab code, no pickle.
"""

from difficulty.bundle.policy import (
    BUNDLE_FORMAT,
    AnswerRule,
    Chosen,
    Exploration,
    Fallback,
    FileEntry,
    Manifest,
    Policy,
)
from difficulty.bundle.store import Bundle, Trust, load_trust, read_bundle, write_bundle
from difficulty.routes import ValidatorRule

__all__ = [
    "BUNDLE_FORMAT",
    "AnswerRule",
    "Bundle",
    "Chosen",
    "Exploration",
    "Fallback",
    "FileEntry",
    "Manifest",
    "Policy",
    "Trust",
    "ValidatorRule",
    "load_trust",
    "read_bundle",
    "write_bundle",
]
