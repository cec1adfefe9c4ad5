"""The steps of the journey, one file each: plain functions that the command line, a notebook or a
scheduler calls. They print nothing.

``judging``, ``choosing``, ``exporting`` and ``card`` hold what several steps share.
"""
