"""Attacks, seeded and counted: what a hostile tester tries, thousands of times."""
