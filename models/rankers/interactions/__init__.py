"""Rankers that cross the row's fields."""
