"""Verify: check that a bundle is whole, who signed it, and that this machine reproduces its golden
vectors.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

from difficulty.bundle import Bundle, read_bundle
from difficulty.bundle.signature import Signer, claimed_signer, verify_signature
from difficulty.bundle.store import GOLDEN_ANSWERS, Trust
from difficulty.runtime.golden import check_golden, read_golden
from difficulty.runtime.golden_answers import check_golden_answers, read_golden_answers
from difficulty.runtime.router import Router
from difficulty.storage import on_urls


class Verification(NamedTuple):
    """What was found; damaged bundles do not come this far, reading them raises."""

    bundle: Bundle
    golden: int
    """Number of golden vectors."""
    differences: list[str]
    warnings: list[str]
    signer: Signer | None
    """Who signed; where ``signature_checked`` is false, who the signature says it is by. ``None``
    without a signature.
    """
    signature_checked: bool

    @property
    def passed(self) -> bool:
        """Whether every golden vector was reproduced."""
        return not self.differences


@on_urls
def verify(path: Path, *, trust: Trust | None = None, today: date | None = None) -> Verification:
    """Check files and hashes, and the signature where ``trust`` says whose it must be; load the
    scorer and replay the golden vectors.

    Raises
    ------
    BundleError
        If the bundle is damaged, incomplete or of a newer format, or does not bear a trusted
        signature.
    """
    bundle = read_bundle(path)
    # Before the router is built: nothing of a bundle without a trusted signature is run.
    signer = verify_signature(bundle, trust) if trust else claimed_signer(bundle)
    router = Router.from_bundle(bundle)
    differences = [*check_golden(bundle, router), *check_golden_answers(bundle, router)]
    golden = len(read_golden(bundle)) + len(read_golden_answers(bundle))
    warnings = []
    if router.answers is not None and not read_golden_answers(bundle):
        warnings.append(
            f"the check of answers is untested: the bundle has no {GOLDEN_ANSWERS}. Ship it again"
        )
    if bundle.policy.review_date < (today or datetime.now(UTC).date()):
        warnings.append(
            f"the threshold was to be reviewed by {bundle.policy.review_date.isoformat()}: choose"
            " it again on recent traffic"
        )
    return Verification(bundle, golden, differences, warnings, signer, trust is not None)
