"""Perturbations: the same ask in other clothes, and how far a score holds when a request comes in
them.

A perturbation is a function from messages and a source of chance to messages, and a line in
``PERTURBATIONS``.
"""

from difficulty.perturb.perturbation import PERTURBATIONS, Perturbation, perturb
from difficulty.perturb.stability import Stability, measure_stability

__all__ = ["PERTURBATIONS", "Perturbation", "Stability", "measure_stability", "perturb"]
