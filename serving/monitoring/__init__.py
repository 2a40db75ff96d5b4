"""What serving watches of itself: drift, calibration, freshness, unknown ids. Never on a request's time."""
