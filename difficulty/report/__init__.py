"""The report of an evaluation: one HTML page for people, a short form in Markdown for pull
requests, and tables for the console; cards are written from the same blocks.

Each takes an evaluation and what stands beside the figures, and returns text: nothing here reads
traffic or the network. Another section is a function in a module of this room, and a line in
``page.SECTIONS``.
"""
