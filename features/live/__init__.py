"""Live events: what the endpoint is told between two publications, with the meaning that the log has.

``base`` is what a publication knew (one file), ``stores`` keep the events that came since,
``state`` holds both in memory by user and by counter key, and ``columns`` makes the columns of one
request out of them with the very functions that build the examples. docs/decisions/0013 says why.
"""
