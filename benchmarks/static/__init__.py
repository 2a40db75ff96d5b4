"""Rankers of static rows (no sequences, no time) held to numbers that their authors published."""
