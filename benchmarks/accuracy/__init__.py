"""Rankers side by side on one log: same rows, features, embeddings, trials and seeds."""
