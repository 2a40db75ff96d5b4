"""The image each step runs in on a cluster.

Four images hold this project with different extras, so that a pod pulls only what its step needs.
The cluster settings (``pipelines/compiler/cluster_settings.py``) set registry, tag and digest.
"""

from __future__ import annotations

from typing import Literal, get_args

from hemix import __version__

Image = Literal["features", "train", "serve", "pipeline"]
IMAGES: tuple[Image, ...] = get_args(Image)

IMAGE_OF: dict[str, Image] = {
    "ingest": "features",
    "validate_data": "features",
    "build_examples": "features",
    "transform": "features",
    "validate_features": "features",
    "register_features": "features",
    "backfill": "features",
    "train": "train",
    "evaluate": "train",
    "validate_model": "train",
    "deploy": "serve",
    "experiment": "serve",
    "monitor": "serve",
    "plan": "pipeline",
    "days": "pipeline",
    "stop": "pipeline",
    "report": "pipeline",
    "trigger": "pipeline",
}


def image_of(step: str) -> str:
    """The default image of a step, tagged with this release."""
    return f"hemix/{IMAGE_OF[step]}:{__version__}"
