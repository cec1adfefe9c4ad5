"""Write ``docs/python.md`` from the notebook and from the docstrings of the public names.

Run ``python docs/generate_python.py`` to write the page, and ``python docs/generate_python.py
--check`` to be told, by exit code 1, that it is not up to date.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import difficulty

PAGE = Path(__file__).with_name("python.md")
NOTEBOOK = PAGE.parents[1] / "examples" / "notebook" / "first_router.py"
HEAD = """# Python

This page is written by `python docs/generate_python.py` from the notebook and the docstrings. Do
not edit it by hand.

`import difficulty` loads nothing; each name comes when it is first asked for. `Router` needs the
base package alone, `evaluation.plot()` and `.to_frame()` the extra `plot`, everything else the
extra `train`. Paths may be text or `Path`. Errors are `difficulty.errors.DifficultyError`, and say
what to do.

"""
ORDER = (
    *("read", "ingest", "Traffic", "label"),
    *("train", "Run", "ship", "thresholds", "Bundle"),
    *("evaluate", "Evaluation", "CostQualityDisplay", "CalibrationDisplay", "ScoreDisplay"),
    *("Router", "Decision"),
)
"""Names in the order of the journey; a test holds that none is left out."""
SKLEARN = """## difficulty.sklearn

`DifficultyClassifier` takes lists of texts wherever scikit-learn takes an estimator: `Pipeline`,
`GridSearchCV`, `cross_val_predict`, `CalibrationDisplay.from_estimator`. Groups that it must not
tear apart are given as `groups=`, and found by `near_groups`:

```python
from sklearn.model_selection import GroupKFold, cross_val_predict
from difficulty.sklearn import DifficultyClassifier, near_groups

p_fails = cross_val_predict(
    DifficultyClassifier(),
    texts,
    failed,
    method="predict_proba",
    cv=GroupKFold(5),
    groups=near_groups(texts),
)[:, 1]
```

"""


def main() -> None:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description="Write docs/python.md from notebook and code.")
    parser.add_argument(
        "--check", action="store_true", help="fail when the page is not up to date; write nothing"
    )
    page = python_page()
    if not parser.parse_args().check:
        PAGE.write_text(page, encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page:
        sys.exit("docs/python.md is not what the code says. Run: python docs/generate_python.py")


def python_page() -> str:
    """Return the page in Markdown."""
    reference = "".join(map(_entry, ORDER))
    entries = [
        _described(f"difficulty.sklearn.{name}", getattr(difficulty.sklearn, name), level=3)
        for name in difficulty.sklearn.__all__
    ]
    return (
        f"{HEAD}## In ten lines\n\n{tutorial()}{reference}{SKLEARN}{''.join(entries)}".rstrip()
        + "\n"
    )


def cells() -> Iterator[tuple[str, str]]:
    """Yield kind (``markdown`` or ``code``) and text of each cell of the notebook."""
    parts = re.split(r"^# %%(.*)\n", NOTEBOOK.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for mark, text in zip(parts[1::2], parts[2::2], strict=True):
        if "[markdown]" in mark:
            yield "markdown", re.sub(r"^# ?", "", text, flags=re.MULTILINE).strip()
        else:
            yield "code", text.strip()


def tutorial() -> str:
    """Return the notebook as Markdown."""
    return "".join(
        f"{text}\n\n" if kind == "markdown" else f"```python\n{text}\n```\n\n"
        for kind, text in cells()
    )


def _entry(name: str) -> str:
    # Called, the room of this name is the function.
    if name == "thresholds":
        from difficulty.face.shipped_bundle import thresholds

        return _described("difficulty.thresholds", thresholds)
    return _described(f"difficulty.{name}", getattr(difficulty, name))


def _described(name: str, thing: Any, *, level: int = 2) -> str:
    head = f"{'#' * level} {name}\n\n"
    code = f"```text\n{_signature(name, thing)}\n\n{_plain(inspect.getdoc(thing) or '')}\n```\n\n"
    if not inspect.isclass(thing):
        return head + code
    members = "".join(_members(thing))
    return (
        f"{head}{code}| member | what it is |\n| --- | --- |\n{members}\n"
        if members
        else head + code
    )


def _members(thing: type) -> Iterator[str]:
    """Yield a row for each public member with a docstring of its own."""
    for name in dir(thing):
        owner = (
            next(each for each in thing.__mro__ if name in vars(each))
            if _own(thing, name)
            else None
        )
        if owner is None:
            continue
        member = inspect.getattr_static(thing, name)
        doc = inspect.getdoc(getattr(thing, name)) or ""
        first = re.split(r"(?<=\.)\s", _plain(" ".join(doc.split("\n\n")[0].split())))[0]
        call = name
        plain = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if inspect.isfunction(plain):
            call += f"({', '.join(_arguments(getattr(thing, name)))})"
        yield f"| `{call}` | {first.replace('|', chr(92) + '|')} |\n"


def _own(thing: type, name: str) -> bool:
    if name.startswith("_"):
        return False
    member = inspect.getattr_static(thing, name)
    told = inspect.getdoc(getattr(thing, name, None)) or ""
    owner = next(each for each in thing.__mro__ if name in vars(each))
    shown = inspect.isfunction(member) or isinstance(member, classmethod | property)
    shown = shown or type(member).__name__ == "cached_property"
    return shown and bool(told) and owner.__module__.startswith("difficulty.")


def _arguments(function: Any) -> list[str]:
    """Return what a function takes, without types: those stand in the code."""
    shown, keyword = [], False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "self" or parameter.name.startswith("_"):
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            shown.append(f"**{parameter.name}")
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword:
            keyword = True
            shown.append("*")
        shown.append(parameter.name + _default(parameter.default))
    return shown


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return ""
    if isinstance(value, str):
        return f'="{value}"'
    return "=..." if type(value).__name__ == "_HAS_DEFAULT_FACTORY_CLASS" else f"={value!r}"


def _signature(name: str, thing: Any) -> str:
    short = name.rpartition(".")[2]
    arguments = _arguments(thing.__init__ if inspect.isclass(thing) else thing)
    text = f"{short}({', '.join(arguments)})"
    if len(text) <= 96:
        return text
    return f"{short}(\n" + "".join(f"    {part},\n" for part in arguments) + ")"


def _plain(text: str) -> str:
    """Return a docstring as people read it: public names, no marks of Sphinx or doctest."""
    for name, (_, _, inner) in _INNER.items():
        text = re.sub(rf"\b{inner}\b", name, text)
    text = re.sub(r" *# doctest: *\+SKIP", "", text)
    return re.sub(r":(?:func|meth|class|mod):`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", text)


_INNER = {
    name: place.rpartition(":") for name, place in difficulty._PLACES.items() if name[0].isupper()
}
"""Public classes and how they are called inside."""


if __name__ == "__main__":
    main()
