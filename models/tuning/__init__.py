"""Searching a recipe's fields on validation data: TPE, pruning, a study that survives being killed."""
