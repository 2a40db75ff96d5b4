"""Objectives side by side: rules, boosting and each objective, ordered within a user on one state."""
