"""KServe: registry, experiment assignment, the endpoint's transformer and predictor, its client.

``registry`` and ``state`` say who serves, ``assignment`` whom. ``serve`` starts the endpoint in one
process: ``pool`` holds the live versions, ``ranker`` does the work, ``endpoint`` and ``server`` speak
KServe. ``serve_transformer`` and ``serve_predictor`` start its two roles: ``remote`` asks by
``calls`` and ``wire`` what ``predictor`` answers; ``contract`` is what one knows of the other.
``signing`` signs and verifies versions, ``monitoring`` watches what was served.
"""
