"""Layers that choose, for each row, which networks compute it."""
