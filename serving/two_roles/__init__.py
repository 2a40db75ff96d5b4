"""Serving in two roles: transformer and predictors."""
