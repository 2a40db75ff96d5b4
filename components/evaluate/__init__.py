"""Measure a model version on the test window, beside its rivals."""
