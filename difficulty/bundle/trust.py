"""Whose signatures a deployment accepts: said where the router runs, never in the bundle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from difficulty.bundle.store import Bundle, read_bundle
from difficulty.errors import FieldError
from difficulty.form import Form, read_toml


@dataclass(frozen=True, kw_only=True)
class Trust(Form):
    """A bundle is accepted when one of the keys, or a certificate that leads to one of the roots,
    signed it.

    The files are read at every check, so that a key that is replaced or withdrawn counts from the
    next bundle on.
    """

    public_keys: tuple[Path, ...] = ()
    """PEM files of elliptic-curve public keys."""
    certificates: tuple[Path, ...] = ()
    """PEM files of root and intermediate certificates that signing certificates must lead to."""
    subjects: tuple[str, ...] = ()
    """Subjects a signing certificate may have, as ``CN=release,O=Example``; empty: any that leads
    to a root.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.public_keys and not self.certificates:
            raise FieldError("must name at least one of public_keys and certificates")
        if self.subjects and not self.certificates:
            raise FieldError("must hold certificates beside subjects: a key has no subject")


def load_trust(path: Path) -> Trust:
    """Read a trust file (TOML: ``public_keys``, ``certificates``, ``subjects``); its paths count
    from its own folder.

    Raises
    ------
    InvalidValueError
        If the file is missing or no TOML.
    FieldError
        If it names nobody, or holds an unknown key.
    """
    trust = Trust.parse_from(path.name, read_toml(path, "trust file"))
    here = {
        name: tuple(path.parent / file for file in getattr(trust, name))
        for name in ("public_keys", "certificates")
    }
    return replace(trust, **here)


def read_trusted(folder: Path, trust: Trust | None) -> Bundle:
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
