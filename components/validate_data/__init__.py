"""Gate on the events by Great Expectations."""
