"""Plan a retraining when it runs: windows, version, champion."""

from typing import NamedTuple

from kfp import dsl

from hemix.components.steps import image_of


@dsl.component(base_image=image_of("plan"), install_kfp_package=False)
def plan(
    definition: str,
    scheduled_time: str,
    train_days: int,
    test_days: int,
    availability_delay_s: int,
    recipe: str,
    overrides: dict[str, str],
    registry: str,
    checkpoints: str,
    running_experiment: str = "wait",
) -> NamedTuple(  # type: ignore[valid-type]
    "Planned",
    [
        ("Output", bool),
        ("definition", str),
        ("events_definition", str),
        ("source_fingerprint", str),
        ("version", str),
        ("feature_service", str),
        ("revision", str),
        ("champion", str),
        ("checkpoints", str),
    ],
):
    """Plan a retraining when it runs; ``Output`` says whether there is anything to train."""
    from hemix.components.plan.step import run
    from hemix.components.plan.windows import RollingWindows
    from hemix.components.process import step_process
    from hemix.features.definition import DatasetDefinition

    with step_process():
        planned = run(
            definition=DatasetDefinition.parse(definition),
            scheduled=scheduled_time,
            windows=RollingWindows(
                train_days=train_days, test_days=test_days, delay_s=availability_delay_s
            ),
            recipe=recipe,
            overrides=overrides,
            registry=registry,
            checkpoints=checkpoints,
            running=running_experiment,
        )
    return (
        planned.needed,
        planned.definition,
        planned.events_definition,
        planned.source_fingerprint,
        planned.version,
        planned.feature_service,
        planned.revision,
        planned.champion,
        planned.checkpoints,
    )
