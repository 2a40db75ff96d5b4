"""Replay: held-out traffic of a log through the endpoint, under an experiment."""
