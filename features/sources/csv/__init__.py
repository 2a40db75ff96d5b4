"""CSV text: how it is written, its lines and records, and what is refused."""
