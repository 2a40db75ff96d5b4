"""What the endpoint counts and times, for Prometheus (``GET /metrics``)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Literal

from prometheus_client import Counter, Gauge, Histogram

Stage = Literal["validate", "features", "assemble", "transform", "score", "post", "total"]

_SECONDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02),
    *(0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.5),
)

STAGE_SECONDS = Histogram(
    "hemix_stage_seconds", "Time of a stage of a ranking request.", ["stage"], buckets=_SECONDS
)
REQUESTS = Counter(
    "hemix_requests", "Ranking requests by outcome.", ["variant", "version", "status"]
)
CANDIDATES = Histogram(
    "hemix_candidates",
    "Candidates a request.",
    buckets=(1, 5, 10, 20, 50, 100, 200, 300, 500, 750, 1000),
)
UNKNOWN_USERS = Counter("hemix_unknown_users", "Requests of users the feature store lacks.")
UNKNOWN_ITEMS = Counter("hemix_unknown_items", "Candidates the feature store lacks.")
STORE_ERRORS = Counter(
    "hemix_feature_store_errors", "Requests served from defaults: the feature store did not answer."
)
VERSION_LIVE = Gauge(
    "hemix_version_share", "Share of users of each live version.", ["variant", "version"]
)
VERSION_REFUSED = Gauge(
    "hemix_version_refused",
    "1 for a version that the registry names and that would not load.",
    ["version"],
)
REGISTRY_ERRORS = Counter("hemix_registry_errors", "Times the registry's state could not be used.")
EXPOSURES = Counter("hemix_exposures", "Exposure lines by what became of them.", ["outcome"])


@contextlib.contextmanager
def timed(stage: Stage) -> Iterator[None]:
    """Time a block as ``stage``; counted when the block succeeds."""
    start = time.perf_counter()
    yield
    STAGE_SECONDS.labels(stage).observe(time.perf_counter() - start)
