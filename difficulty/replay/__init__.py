"""Replay: what another bundle, threshold or rule would have done with the requests of a decision
log.

Estimators are maths on arrays (:class:`~difficulty.replay.weighed.Weighed`), each with its source;
:mod:`~difficulty.replay.logged_sides` says what a log tells of both sides of a request.
"""
