"""Put the version into the registry: first champion, later challenger with its share."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Model, Output

from hemix.components.steps import image_of


@dsl.component(base_image=image_of("deploy"), install_kfp_package=False)
def deploy(
    registry: str,
    feature_store: str,
    share: float,
    deployment_key: str,
    revision: str,
    champion: str,
    model: Input[Model],
    verdict: Input[Artifact],
    repository: Input[Artifact],
    deployment: Output[Artifact],
    cluster: str = "",
    running_experiment: str = "wait",
) -> None:
    """Put the version into the registry: first champion, later challenger with its share."""
    from pathlib import Path

    from hemix.components.deploy.step import run
    from hemix.components.process import step_process

    with step_process():
        run(
            model=Path(model.path),
            verdict=Path(verdict.path),
            repository=Path(repository.path),
            registry=registry,
            feature_store=feature_store,
            share=share,
            cluster=cluster,
            running=running_experiment,
            champion=champion,
            out_deployment=Path(deployment.path),
        )
