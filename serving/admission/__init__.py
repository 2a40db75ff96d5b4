"""Which requests are taken when there is more work than time."""
