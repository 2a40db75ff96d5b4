"""One tf.Transform graph: fitted on the training split, applied to examples and to requests."""

from __future__ import annotations

from hemix.features.transform.columns import Column
from hemix.features.transform.graph import TransformGraph

__all__ = ["Column", "TransformGraph"]
