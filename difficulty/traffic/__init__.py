"""Labelled traffic: read, checked, grouped, split and written; see ``docs/traffic.md``."""
