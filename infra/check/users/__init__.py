"""A user's own overlay: which settings it is judged with, and what its kustomization.yaml misses."""
