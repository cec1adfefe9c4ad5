"""Bundles that bear the signature that a deployment asks for."""

from __future__ import annotations

from pathlib import Path

from difficulty.bundle.store import Bundle, Trust, read_bundle


def read_trusted(folder: str | Path, trust: Trust | None) -> Bundle:
    """Read a bundle and check its hashes and, where ``trust`` requires one, its signature.

    Raises
    ------
    BundleError
        If either check fails; ``SignatureError`` if it is the signature's.
    """
    bundle = read_bundle(folder)
    if trust is not None:
        # Here, so that only those who ask for a signature wait for it.
        from difficulty.bundle.signature import verify_signature

        verify_signature(bundle, trust)
    return bundle
