"""HeMix (arXiv 2602.09387)."""
