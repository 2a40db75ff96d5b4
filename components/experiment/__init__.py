"""Experiment: read exposures and outcomes, analyse, decide, apply."""
