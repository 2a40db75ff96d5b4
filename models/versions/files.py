"""Names of a version's files that others need who must not import torch."""

from __future__ import annotations

SIGNATURE = "model.sig"
"""Over all other files, the manifest too; there when a key was configured (``hemix.serving.registry.signing``)."""
REFERENCE_SCORES = "eager.parquet"
"""Scores of the ranker in memory, from before it was exported (``hemix.models.versions.reference_scores``)."""
