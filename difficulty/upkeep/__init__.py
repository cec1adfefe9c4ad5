"""Keeping a scorer right while it serves: disjoint parts of new traffic, tests of whether its
probabilities still hold, maps that put them right, and how much old traffic still counts.
"""
