"""Counts over lists of past events: the same functions for examples and for requests."""
