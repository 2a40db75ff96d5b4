"""Rankers that raise the order of interactions by multiplying with the input (PIN)."""
