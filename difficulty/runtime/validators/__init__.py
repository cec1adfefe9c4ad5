"""Validators: whether an answer of the cheap model will do, as far as a program can tell.

To add one, write a module with a class that has the method of :class:`Validator` and add one line
to ``VALIDATORS``; another package registers one as an entry point of group
``difficulty.validators``. Options are keyword arguments of the constructor, which checks them.
"""

from difficulty.runtime.validators.answer import Answer, Asked, Validator, Verdict
from difficulty.runtime.validators.checker import VALIDATORS, Checker

__all__ = ["VALIDATORS", "Answer", "Asked", "Checker", "Validator", "Verdict"]
