"""Train a ranker into a model version."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from hemix.components.steps import image_of


@dsl.component(base_image=image_of("train"), install_kfp_package=False)
def train(
    recipe: str,
    overrides: dict[str, str],
    version: str,
    feature_service: str,
    checkpoints: str,
    champion: str,
    revision: str,
    transformed: Input[Dataset],
    transform_graph: Input[Artifact],
    model: Output[Model],
    curves: Output[Artifact],
    cluster: str = "",
) -> None:
    """Train a ranker into a model version."""
    from pathlib import Path

    from hemix.components.process import step_process
    from hemix.components.train.step import run

    with step_process():
        run(
            transformed=Path(transformed.path),
            transform=Path(transform_graph.path),
            recipe=recipe,
            overrides=overrides,
            version=version,
            feature_service=feature_service,
            checkpoints=checkpoints,
            champion=champion,
            cluster=cluster,
            out_model=Path(model.path),
            out_curves=Path(curves.path),
        )
