"""Rankers that read a user's history for the candidate."""
