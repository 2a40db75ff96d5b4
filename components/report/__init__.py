"""One HTML page about a run, for people who decide and people who build."""
