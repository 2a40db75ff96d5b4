"""A held-out log replayed through the endpoint: the columns it assembles, and how fast it takes events."""
