"""Learned difficulty scores for routing LLM requests between a cheap and a frontier model.

Serving: ``from difficulty.runtime import Router``. Training: see :mod:`difficulty.stages`.
Importing this package loads neither scikit-learn, torch, pandas nor mlflow.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
