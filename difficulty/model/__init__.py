"""Vectors to calibrated outcomes: heads, their combination, calibrators, and the model that holds
them.
"""
