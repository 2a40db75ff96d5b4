"""The Feast side: a repository a version, publishing it, reading it online, and parity with training.

``repository`` builds, ``publish`` makes live, ``online`` reads, ``assemble`` makes raw example
columns of what was read, ``parity`` proves that they equal those of ``build_examples``.
"""

from __future__ import annotations

from hemix.features.feature_views import service_name
from hemix.features.store.assemble import RequestColumns, assemble
from hemix.features.store.online import OnlineFeatures
from hemix.features.store.publish import publish
from hemix.features.store.repository import RepositoryInfo, build_repository
from hemix.features.store.rows import OnlineRows

__all__ = [
    "OnlineFeatures",
    "OnlineRows",
    "RepositoryInfo",
    "RequestColumns",
    "assemble",
    "build_repository",
    "publish",
    "service_name",
]
