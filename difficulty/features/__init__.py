"""Texts to vectors: token n-grams and static embeddings over one tokenizer.

``ENCODERS`` names what can embed; another package adds one through the entry point group ``difficulty.encoders``.
"""

from typing import Final

__all__ = ["ENCODERS"]

ENCODERS: Final = {"static": "difficulty.features.static:StaticEncoder"}
