"""Embedding tables: look-ups, hashing, sparse updates."""
