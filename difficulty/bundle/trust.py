"""Whose signatures a deployment accepts: said where the router runs, never in the bundle."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from difficulty.errors import InvalidValueError

__all__ = ["Trust", "load_trust"]


class Trust(BaseModel):
    """A bundle is accepted when one of the keys, or a certificate that leads to one of the roots, signed it.

    The files are read at every check, so that a key that is replaced or withdrawn counts from the next bundle on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    public_keys: tuple[Path, ...] = ()
    """PEM files of elliptic-curve public keys."""
    certificates: tuple[Path, ...] = ()
    """PEM files of root and intermediate certificates that signing certificates must lead to."""
    subjects: tuple[str, ...] = ()
    """Subjects a signing certificate may have, as ``CN=release,O=Example``; empty: any that leads to a root."""

    @model_validator(mode="after")
    def _some(self) -> Trust:
        if not self.public_keys and not self.certificates:
            raise ValueError("trust needs at least one of public_keys and certificates")
        if self.subjects and not self.certificates:
            raise ValueError("subjects need certificates beside them: a key has no subject")
        return self


def load_trust(path: Path) -> Trust:
    """Read a trust file (TOML: ``public_keys``, ``certificates``, ``subjects``); its paths count from its own folder.

    Raises
    ------
    InvalidValueError
        If the file is missing or no TOML, names nobody, or holds an unknown key.
    """
    try:
        trust = Trust.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidValueError("trust file", str(path), rule="be a readable TOML file", hint=f"{error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "content"
        raise InvalidValueError(f"{path.name}: {where}", first["input"], rule="fit", hint=f"{first['msg']}.") from error
    here = {name: tuple(path.parent / file for file in getattr(trust, name)) for name in ("public_keys", "certificates")}
    return trust.model_copy(update=here)
