"""Rankers that mix tokens: each token is a part of the row."""
