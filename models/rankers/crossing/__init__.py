"""Rankers of cross layers: each raises the order of the interactions by one."""
