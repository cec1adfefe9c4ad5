"""Finding what travels with the package: recipes, the sample traffic, the default encoder.

In a wheel they lie in ``difficulty/_shipped``, in a checkout beside the package. Only the command
line and the Python face look for them; below these paths are arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from difficulty.encoders.base import Encoder, load_encoder
from difficulty.encoders.sentence import prepare
from difficulty.encoders.transformer import kept_on_disk
from difficulty.engine import Engine
from difficulty.errors import RecipeError
from difficulty.recipe import FeatureSettings, Recipe, load_recipe
from difficulty.storage import DEFAULT_CACHE

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped_file(name: str) -> Path:
    """Return the path of a shipped file or folder, for example ``data/sample.jsonl.gz``."""
    inside = _PACKAGE / "_shipped" / name
    return inside if inside.exists() else _PACKAGE.parent / name


def find_recipe(name: str) -> Recipe:
    """Return a recipe by its shipped name, or by the path of a TOML file.

    Raises
    ------
    RecipeError
        If there is none, or it holds something that is not allowed.
    """
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        return load_recipe(path)
    shipped = shipped_file(f"pipelines/{name}.toml")
    if not shipped.is_file():
        names = ", ".join(
            sorted(recipe.stem for recipe in shipped_file("pipelines").glob("*.toml"))
        )
        raise RecipeError(
            f"unknown recipe {name!r}. Known: {names}; or pass the path of a TOML file."
        )
    return load_recipe(shipped)


def find_encoder(
    features: FeatureSettings,
    *,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    engine: Engine | None = None,
) -> Encoder:
    """Return the encoder a recipe names: a shipped one, an encoder folder, or one of
    sentence-transformers by name or folder.

    Parameters
    ----------
    cache : Path, optional
        Where converted encoders and embeddings are kept; by default ``~/.cache/difficulty``.
    progress : callable, optional
        Told how many requests are embedded, and of how many.
    engine : Engine, optional
        Where they are embedded; by default here.

    Raises
    ------
    EncoderError
        If there is none, or it is damaged.
    """
    name, cache = features.encoder, cache or DEFAULT_CACHE
    # A shipped encoder goes before a folder of its name in the working directory.
    for folder in (shipped_file(f"models/{name}"), Path(name)):
        if (folder / "encoder.json").is_file():
            return kept_on_disk(load_encoder(folder), cache, progress, engine)
    settings = features.transformer
    folder = prepare(
        name,
        cache,
        max_tokens=settings.max_tokens,
        precision=settings.precision,
        sha256=features.encoder_sha256,
    )
    return kept_on_disk(load_encoder(folder), cache, progress, engine)
