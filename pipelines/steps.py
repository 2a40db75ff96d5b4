"""The steps of the training pipeline, in order, and which of them are gates."""

from __future__ import annotations

STEPS = (
    "ingest",
    "validate_data",
    "build_examples",
    "transform",
    "validate_features",
    "register_features",
    "train",
    "evaluate",
    "validate_model",
    "deploy",
    "report",
)
GATES = ("validate_data", "validate_features", "register_features", "validate_model")
