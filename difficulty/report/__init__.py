"""The report of an evaluation: one HTML page for people, a short form in Markdown for pull
requests, and tables for the console.

Rendering takes an evaluation and what is told beside it, and returns text: it reads no traffic and
no network.
"""
