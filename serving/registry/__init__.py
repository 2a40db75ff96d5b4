"""Which model version serves whom."""
