"""KServe: registry, experiment assignment, the endpoint's transformer and predictor, its client.

``registry`` and ``state`` say who serves, ``assignment`` whom; ``serve`` starts the endpoint:
``pool`` holds the live versions, ``ranker`` does the work, ``endpoint`` and ``server`` speak KServe.
"""
