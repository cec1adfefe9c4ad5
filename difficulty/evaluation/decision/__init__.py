"""What the decision is told by: the three figures at stake, and for everything that may stand
against it a short reason and the command that mends it.

:mod:`difficulty.evaluation.verdict` weighs; pages and console show what is written here.
"""
