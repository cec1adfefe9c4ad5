"""Reading a bundle as a deployment requires it: every check of its files, and its signature where
one is asked for.
"""

from __future__ import annotations

from pathlib import Path

from difficulty.bundle.store import Bundle, read_bundle
from difficulty.bundle.trust import Trust


def read_trusted(folder: Path, trust: Trust | None) -> Bundle:
    """Read a bundle and check its hashes and, where ``trust`` requires one, its signature.

    Raises
    ------
    BundleError
        If either check fails; ``SignatureError`` if it is the signature's.
    """
    bundle = read_bundle(folder)
    if trust is not None:
        from difficulty.bundle.signature import (
            verify_signature,
        )  # here, so that only those who ask for a signature wait for it

        verify_signature(bundle, trust)
    return bundle
