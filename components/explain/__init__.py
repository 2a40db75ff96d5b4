"""What can be looked at inside a version's ranker, as a page and as JSON (``hemix explain``)."""
