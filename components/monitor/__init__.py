"""Monitor: what serving measured of itself, as a verdict that can start a retraining."""
