"""Rankers that route each row to some of several networks."""
