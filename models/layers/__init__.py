"""Parts that rankers share."""
