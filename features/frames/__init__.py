"""Rows of a caller: data frames into the tables that a transform is applied to."""
