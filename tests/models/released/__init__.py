"""Adapters from the modules that a folder of released vectors names to ours; a file a family."""
