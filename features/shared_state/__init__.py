"""Rows of one user (or request) as of one moment: the state of the user that all of them share."""
