"""How a model is trained: the material, the search for features, distillation, checks of labels,
and the run folder that holds the outcome.
"""
