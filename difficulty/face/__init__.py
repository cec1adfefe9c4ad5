"""The Python face: what ``import difficulty`` offers at a prompt, in a notebook or in a script.

It takes what people have in their hands (paths as text, frames, tables, lists), calls the steps of
:mod:`difficulty.stages`, and returns results that show themselves. It adds no step of its own. Its
classes are public as ``Traffic``, ``Run`` and ``Bundle``: inside the package these names are taken.
"""
