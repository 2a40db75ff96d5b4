"""Parts of ``benchmarks/experiments.py``: traffic, studies, a broken split, the picture."""
