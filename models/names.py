"""Names of a version's files that others need who must not import torch."""

from __future__ import annotations

SIGNATURE = "model.sig"
"""Over all other files, the manifest too; there when a key was configured (``serving.signing``)."""
