"""Read any log into events."""
