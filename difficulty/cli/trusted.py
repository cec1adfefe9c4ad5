"""Options that say whose signature a bundle must bear."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from difficulty.bundle.trust import Trust, load_trust
from difficulty.errors import InvalidValueError

PublicKeyPaths = Annotated[
    list[Path] | None,
    typer.Option("--public-key", help="PEM file of a key that may have signed; repeat for more."),
]
CertificatePaths = Annotated[
    list[Path] | None,
    typer.Option(
        "--certificate",
        help=(
            "PEM file of a root or intermediate that the signing certificate must lead to; repeat"
            " for more."
        ),
    ),
]
Subjects = Annotated[
    list[str] | None,
    typer.Option(
        "--subject",
        help="Subject the signing certificate may have: CN=release,O=Example; repeat for more.",
    ),
]
TrustPath = Annotated[
    Path | None,
    typer.Option(
        "--trust",
        envvar="DIFFICULTY_TRUST",
        help="Trust file (TOML) in place of the three options above.",
    ),
]


def given_trust(
    keys: list[Path] | None,
    certificates: list[Path] | None,
    subjects: list[str] | None,
    file: Path | None,
) -> Trust | None:
    """Return whose signature is required; ``None`` when none is. Options count before the file,
    which a variable may have named.
    """
    if not (keys or certificates or subjects):
        return load_trust(file) if file else None
    if subjects and not certificates:
        raise InvalidValueError(
            "--subject", subjects, rule="stand beside --certificate: a key has no subject"
        )
    return Trust(
        public_keys=tuple(keys or ()),
        certificates=tuple(certificates or ()),
        subjects=tuple(subjects or ()),
    )
