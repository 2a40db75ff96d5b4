"""Start the processes that serve."""
