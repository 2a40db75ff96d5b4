"""Tell the whole run on one HTML page."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Model, Output

from hemix.components.steps import image_of


@dsl.component(base_image=image_of("report"), install_kfp_package=False)
def report(
    definition: str,
    record: str,
    revision: str,
    events: Input[Dataset],
    data_verdict: Input[Artifact],
    feature_verdict: Input[Artifact],
    parity_verdict: Input[Artifact],
    model_verdict: Input[Artifact],
    transformed: Input[Dataset],
    transform_graph: Input[Artifact],
    curves: Input[Artifact],
    model: Input[Model],
    evaluation: Input[Artifact],
    deployment: Input[Artifact],
    page: Output[HTML],
) -> None:
    """Tell the whole run on one HTML page."""
    from pathlib import Path

    from hemix.components.process import step_process
    from hemix.components.report.step import run
    from hemix.features.definition import DatasetDefinition

    with step_process():
        run(
            definition=DatasetDefinition.parse(definition),
            events=Path(events.path),
            verdicts={
                "validate_data": Path(data_verdict.path),
                "validate_features": Path(feature_verdict.path),
                "register_features": Path(parity_verdict.path),
                "validate_model": Path(model_verdict.path),
            },
            transformed=Path(transformed.path),
            transform=Path(transform_graph.path),
            curves=Path(curves.path),
            model=Path(model.path),
            evaluation=Path(evaluation.path),
            deployment=Path(deployment.path),
            record=record or None,
            out_report=Path(page.path),
        )
