# %% [markdown]
# Ten lines from a file of calls to a router. Each part is a cell: VS Code, Spyder and Jupyter (by
# jupytext) open this file, `examples/notebook/first_router.py`, as a notebook. `calls.jsonl` has a
# request a line with what both models scored on it (docs/traffic.md); a pandas or polars frame, a
# `datasets.Dataset`, an Arrow table or a list of dicts does as well.

# %%
import difficulty as d

traffic = d.read("calls.jsonl")
train, judge = traffic.split({"train": 0.8, "judge": 0.2}).values()

# %% [markdown]
# Training learns which requests the cheap model fails and the frontier model does not. A part of
# `train` is kept aside to say how well that went; `run` shows it.

# %%
run = d.train(train, recipe="fast")
run.evaluation.to_frame()

# %% [markdown]
# Shipping writes the bundle that routers load: an ONNX graph, the threshold, test vectors and a
# card. Here the frontier model gets at most three requests of ten.

# %%
bundle = run.ship("bundles/support-1", objective="share=0.3")

# %% [markdown]
# What it does to requests that nothing was learned or chosen on, with 95 % intervals:

# %%
evaluation = bundle.evaluate(judge)
evaluation.plot()

# %% [markdown]
# A router needs the bundle's folder and the base package alone.

# %%
router = d.Router.load("bundles/support-1")
router.decide("Plan the move of our warehouse to Lyon in four phases, with owners and risks.").route
