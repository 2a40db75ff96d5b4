"""Layers in which a row's vectors meet."""
