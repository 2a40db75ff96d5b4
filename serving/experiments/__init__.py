"""Experiments: layers of variants, and what their logs say.

``layers`` and ``assigned`` serve (no heavy import); the other modules analyse: ``logs`` and
``joining`` read exposures and outcomes, ``measures`` makes them numbers a request, ``aggregates``
sums a user, ``confidence``, ``mismatch``, ``effects`` and ``quantiles`` are the statistics as pure
functions, ``analysis`` puts them together, ``decision`` says what to do, ``applying`` does it.
"""
