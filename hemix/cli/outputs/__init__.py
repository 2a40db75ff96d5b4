"""Commands on the outputs of runs: clean them, compare them."""
