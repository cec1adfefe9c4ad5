"""Finding what travels with the package: recipes, the sample traffic, the default encoder.

In a wheel they lie in ``difficulty/_shipped``, in a checkout beside the package. Only the command line looks for them; below it
paths are arguments.
"""

from __future__ import annotations

from pathlib import Path

from difficulty.errors import EncoderError, RecipeError
from difficulty.features.static import StaticEncoder
from difficulty.recipe import Recipe, load_recipe

__all__ = ["find_encoder", "find_recipe", "shipped_file"]

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
    found = shipped_file(f"pipelines/{name}.toml")
    if not found.is_file():
        known = ", ".join(sorted(recipe.stem for recipe in shipped_file("pipelines").glob("*.toml")))
        raise RecipeError(f"unknown recipe {name!r}. Known: {known}; or pass the path of a TOML file.")
    return load_recipe(found)


def find_encoder(name: str) -> StaticEncoder:
    """Return the encoder a recipe names: a shipped one, or a folder.

    Raises
    ------
    EncoderError
        If there is none, or it is damaged.
    """
    for folder in (shipped_file(f"models/{name}"), Path(name)):
        if (folder / "encoder.json").is_file():
            return StaticEncoder.load(folder)
    known = ", ".join(sorted(card.parent.name for card in shipped_file("models").glob("*/encoder.json")))
    raise EncoderError(f"unknown encoder {name!r}. Known: {known}; or name the folder of one.")
