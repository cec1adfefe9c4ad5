"""Early exit: a light student decides the requests that are far from the threshold, and the scorer
is asked about the rest.

The student and its graph, and the cut-offs that keep a budget of changed decisions. Routers run it
in :mod:`difficulty.runtime.scorer`.
"""
