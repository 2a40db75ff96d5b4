"""Rates of events, smoothed towards those of wider keys."""
