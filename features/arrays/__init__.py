"""NumPy and Arrow over many rows at once: ranks of ids, ranges of events, looks back in time."""
