"""The rankers beside HeMix, a file each: the paper, its formulas, one class."""
