"""The table of steps: order, image, gate, title. Everything that needs one of these reads it here.

Four images hold this project with different extras, so that a pod pulls only what its step needs.
The cluster settings (``pipelines/compiler/cluster_settings.py``) set registry, tag and digest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from hemix import __version__

Image = Literal["features", "train", "serve", "pipeline"]
IMAGES: tuple[Image, ...] = get_args(Image)


@dataclass(frozen=True)
class Step:
    """A step: its name and the image it runs in on a cluster.

    Attributes:
        name: of its folder ``components/NAME``, and what logs, reports and settings call it.
        image: which of the four images its pod pulls.
        gate: what a report calls the gate that the step is; empty when it is none.
        training: whether the training pipeline has it, in the order of the table.
        module: where its kfp component is; empty for ``hemix.components.NAME.component``.
    """

    name: str
    image: Image
    gate: str = ""
    training: bool = True
    module: str = ""

    @property
    def component_module(self) -> str:
        """The module that holds the kfp component."""
        return self.module or f"hemix.components.{self.name}.component"


PREFIX = "localhost/hemix"
"""Of images as ``make images`` builds them: only on the machine that has them. A name without a host
would be looked for on Docker Hub, where it is somebody else's."""

TABLE = (
    Step("ingest", "features"),
    Step("validate_data", "features", gate="Data"),
    Step("build_examples", "features"),
    Step("transform", "features"),
    Step("validate_features", "features", gate="Features"),
    Step("register_features", "features", gate="Train/serve parity"),
    Step("train", "train"),
    Step("evaluate", "train"),
    Step("validate_model", "train", gate="Model"),
    Step("deploy", "serve"),
    Step("report", "pipeline"),
    # Steps of other pipelines, and the one that ends a run behind a gate that failed.
    Step("stop", "pipeline", training=False),
    Step("plan", "pipeline", training=False),
    Step("days", "pipeline", training=False, module="hemix.components.backfill.component"),
    Step("backfill", "features", training=False),
    Step("experiment", "serve", training=False),
    Step("monitor", "serve", training=False),
    Step("trigger", "pipeline", training=False, module="hemix.pipelines.trigger.component"),
    Step("clean", "serve", training=False, module="hemix.pipelines.cleaning.component"),
)
BY_NAME = {step.name: step for step in TABLE}
STEPS = tuple(step.name for step in TABLE if step.training)
"""The steps of the training pipeline, in order."""
GATES = tuple(name for name in STEPS if BY_NAME[name].gate)
"""The gates among them, in order."""


def image_of(step: str) -> str:
    """The default image of a step, tagged with this release."""
    return default_image(BY_NAME[step].image)


def default_image(image: Image) -> str:
    """An image of this release, where nothing says which registry it is pulled from."""
    return f"{PREFIX}/{image}:{__version__}"
