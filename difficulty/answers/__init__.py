"""Requests and the answers to them as numbers: what a check can compute without asking a model.

The same numbers in training, in Python routers and in Node.js; ``docs/answers.md`` has each of them
to the byte.
"""
