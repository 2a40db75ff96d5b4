"""What the endpoint counts and times, for Prometheus (``GET /metrics``)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Literal

from prometheus_client import Counter, Gauge, Histogram

Stage = Literal[
    "validate",
    "wait",
    "features",
    "assemble",
    "live",
    "transform",
    "score",
    "encode",
    "predict",
    "post",
    "total",
]
"""``wait`` is for a worker. ``transform`` and ``score`` where the model is in this process; else ``encode`` and ``predict``."""

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
SHED = Counter(
    "hemix_shed",
    "Requests not answered: full, bytes, connections (refused at once), expired (deadline), hung_up "
    "(the client left), slow (a head or body that trickled), headers (too large).",
    ["reason"],
)
IN_FLIGHT_UNITS = Gauge(
    "hemix_in_flight_units",
    "Work let in and not done yet, in candidates (a request costs 300 more).",
)
IN_FLIGHT_BYTES = Gauge("hemix_in_flight_bytes", "Bytes of the bodies held now.")
SPEED = Gauge(
    "hemix_units_per_second", "Work done a second when all workers are busy, as measured last."
)
CANDIDATES = Histogram(
    "hemix_candidates",
    "Candidates a request.",
    buckets=(1, 5, 10, 20, 50, 100, 200, 300, 500, 750, 1000),
)
UNKNOWN_USERS = Counter("hemix_unknown_users", "Requests of users the feature store lacks.")
UNKNOWN_ITEMS = Counter("hemix_unknown_items", "Candidates the feature store lacks.")
CANDIDATE_DEFAULTS = Counter(
    "hemix_candidate_defaults", "Requests without a column that each candidate has.", ["field"]
)
STORE_ERRORS = Counter(
    "hemix_feature_store_errors", "Requests served from defaults: the feature store did not answer."
)
DEPENDENCY_ALONE = Gauge(
    "hemix_dependency_left_alone",
    "1 while a feature store or predictor that does not answer is not asked (but for trials).",
    ["dependency", "name"],
)
VERSION_LIVE = Gauge(
    "hemix_version_share", "Share of users of each live version.", ["variant", "version"]
)
VERSION_REFUSED = Gauge(
    "hemix_version_refused",
    "1 for a version that the registry names and that does not serve, by what is wrong with it.",
    ["version", "reason"],
)
VERSION_FAILURES = Counter(
    "hemix_version_failures",
    "Requests that a version failed: scores that are no probabilities (scores), or any other error.",
    ["version", "reason"],
)
REGISTRY_ERRORS = Counter("hemix_registry_errors", "Times the registry's state could not be used.")
EXPOSURES = Counter("hemix_exposures", "Exposure lines by what became of them.", ["outcome"])

PREDICTOR_ERRORS = Counter(
    "hemix_predictor_errors",
    "Calls of a version's predictor that gave no scores: connection, deadline or status.",
    ["version", "reason"],
)
PREDICTOR_RETRIES = Counter(
    "hemix_predictor_retries", "Calls tried a second time on a new connection.", ["version"]
)
PREDICTOR_FALLBACKS = Counter(
    "hemix_predictor_fallbacks",
    "Requests that the champion answered because their own version's predictor did not.",
    ["version"],
)

EVENTS = Counter("hemix_events", "Live events by what became of them.", ["status"])
KAFKA_MESSAGES = Counter(
    "hemix_kafka_messages", "Messages read from Kafka by what became of them.", ["status"]
)
LIVE_EVENTS_ERRORS = Counter(
    "hemix_live_events_errors", "Times the store of live events could not be followed."
)
LIVE_BASE_AGE = Gauge(
    "hemix_live_base_age_seconds",
    "Age of the last event that a definition's base holds.",
    ["views"],
)
LIVE_EVENTS_HELD = Gauge(
    "hemix_live_events_held", "Live events in memory beside a definition's base.", ["views"]
)

DRIFT_PSI = Gauge(
    "hemix_feature_drift_psi",
    "Population stability index of a feature as served lately against the version's training split.",
    ["version", "feature"],
)
DRIFT_ROWS = Gauge(
    "hemix_feature_drift_rows", "Requests in the window that drift is measured on.", ["version"]
)
CALIBRATION_PCOC = Gauge(
    "hemix_calibration_pcoc",
    "Sum of predicted probabilities over sum of outcomes, of the outcomes that arrived lately.",
    ["task", "variant"],
)
CALIBRATION_OUTCOMES = Gauge(
    "hemix_calibration_outcomes",
    "Outcomes in the window that calibration is measured on.",
    ["task", "variant"],
)
CALIBRATION_LOST = Counter(
    "hemix_calibration_lost",
    "Outcomes that calibration could not count: unreadable, or of an item or task not in their answer.",
    ["reason"],
)
FEATURE_AGE = Gauge(
    "hemix_feature_age_seconds", "Age of the newest row read of a feature view.", ["view"]
)
UNKNOWN_SHARE = Gauge(
    "hemix_unknown_share",
    "Share of users (kind user) and candidates (kind item) lately that the feature store lacks.",
    ["kind"],
)
MONITOR_DROPPED = Counter(
    "hemix_monitor_dropped", "Answers that monitoring left out because it could not keep up."
)


@contextlib.contextmanager
def timed(stage: Stage) -> Iterator[None]:
    """Time a block as ``stage``; counted when the block succeeds."""
    start = time.perf_counter()
    yield
    STAGE_SECONDS.labels(stage).observe(time.perf_counter() - start)
