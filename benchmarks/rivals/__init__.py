"""The same features written as one plainly would, to measure ours against."""
