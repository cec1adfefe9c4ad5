"""The learned check of the cheap model's answer: how likely it fails, given the request and what
was answered.

Heads read facts of the answer (:mod:`difficulty.answers`) and its n-grams; they are stacked on what
the scorer says of the request, and shrink to that: with few labels the check says what the score
says.
"""
