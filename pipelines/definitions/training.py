"""The training pipeline: raw logs to a deployed model version, one object for laptop and cluster."""

from hemix.components.build_examples.component import build_examples
from hemix.components.deploy.component import deploy
from hemix.components.evaluate.component import evaluate
from hemix.components.ingest.component import ingest
from hemix.components.register_features.component import register_features
from hemix.components.report.component import report
from hemix.components.train.component import train
from hemix.components.transform.component import transform
from hemix.components.validate_data.component import validate_data
from hemix.components.validate_features.component import validate_features
from hemix.components.validate_model.component import validate_model
from hemix.pipelines.definitions.gates import passed
from hemix.pipelines.definitions.pipeline import pipeline


@pipeline(
    name="training",
    description="Raw behaviour logs to an A/B-tested HeMix ranker; a failed gate ends the run.",
)
def training(
    definition: str,
    events_definition: str,
    source_fingerprint: str,
    version: str,
    feature_service: str,
    revision: str,
    registry: str,
    feature_store: str,
    checkpoints: str,
    recipe: str = "compact",
    overrides: dict[str, str] = {},  # noqa: B006
    champion: str = "",
    policy: str = "",
    share: float = 0.1,
    cluster: str = "",
    online_store: str = "sqlite",
    runner_options: list[str] = [],  # noqa: B006
    deployment_key: str = "",
    record: str = "",
    training_cluster: str = "",
    running_experiment: str = "wait",
) -> None:
    """Wire the eleven steps. Each gate's verdict opens the block beneath it, or stops the run.

    Args:
        definition: data set definition as JSON.
        events_definition: the same with a fixed split, so that the events and examples of one log
            are made once for all splits.
        source_fingerprint: what the log's files were when the run began.
        version: name of the model version that the run makes.
        feature_service: name of the Feast service of this version.
        revision: digest of the source code; a change of code makes every step run again.
        registry: folder of the model registry.
        feature_store: folder of the live feature store.
        checkpoints: folder where an interrupted training left off.
        recipe: name of the training recipe.
        overrides: recipe fields to set, as text.
        champion: folder of the model version to compare with; empty for none.
        policy: text of the model policy; empty for the default.
        share: share of users of a challenger.
        cluster: deployment settings of a Kubernetes cluster that serves it; empty: registry only.
        online_store: ``sqlite`` or a Redis connection.
        runner_options: where Beam runs (features/beam/runner_config.py).
        deployment_key: changes when the version must be deployed anew.
        record: file that tells how the run goes, for the report; empty for none.
        training_cluster: settings of a training on several nodes, as YAML or JSON; empty for none.
        running_experiment: what becomes of an experiment that runs when the version is ready: wait (it
            goes on, the version stays a candidate), replace, or queue (the version is the next).
    """
    log = ingest(
        definition=events_definition, source_fingerprint=source_fingerprint, revision=revision
    )
    events = log.outputs["events"]
    data_gate = validate_data(definition=definition, events=events, revision=revision)
    with passed(data_gate, failed="data-is-not-valid", name="data-is-valid", revision=revision):
        examples = build_examples(
            definition=events_definition,
            events=events,
            runner_options=runner_options,
            revision=revision,
        ).outputs["examples"]
        tables = transform(
            definition=definition,
            examples=examples,
            runner_options=runner_options,
            revision=revision,
        ).outputs
        feature_gate = validate_features(
            definition=definition,
            events=events,
            examples=examples,
            transformed=tables["transformed"],
            transform_graph=tables["transform_graph"],
            champion=champion,
            revision=revision,
        )
        with passed(
            feature_gate,
            failed="features-are-not-valid",
            name="features-are-valid",
            revision=revision,
        ):
            parity_gate = register_features(
                definition=definition,
                events=events,
                transform_graph=tables["transform_graph"],
                version=version,
                online_store=online_store,
                revision=revision,
            )
            with passed(
                parity_gate,
                failed="serving-differs-from-training",
                name="serving-equals-training",
                revision=revision,
            ):
                trained = train(
                    transformed=tables["transformed"],
                    transform_graph=tables["transform_graph"],
                    recipe=recipe,
                    overrides=overrides,
                    version=version,
                    feature_service=feature_service,
                    checkpoints=checkpoints,
                    champion=champion,
                    cluster=training_cluster,
                    revision=revision,
                ).outputs
                evaluation = evaluate(
                    definition=definition,
                    model=trained["model"],
                    events=events,
                    examples=examples,
                    transformed=tables["transformed"],
                    champion=champion,
                    revision=revision,
                ).outputs["evaluation"]
                model_gate = validate_model(
                    policy=policy,
                    model=trained["model"],
                    evaluation=evaluation,
                    transformed=tables["transformed"],
                    champion=champion,
                    revision=revision,
                )
                with passed(
                    model_gate, failed="model-is-not-good", name="model-is-good", revision=revision
                ):
                    deployment = deploy(
                        model=trained["model"],
                        verdict=model_gate.outputs["verdict"],
                        repository=parity_gate.outputs["repository"],
                        registry=registry,
                        feature_store=feature_store,
                        share=share,
                        cluster=cluster,
                        running_experiment=running_experiment,
                        champion=champion,
                        deployment_key=deployment_key,
                        revision=revision,
                    ).outputs["deployment"]
                    report(
                        definition=definition,
                        record=record,
                        events=events,
                        data_verdict=data_gate.outputs["verdict"],
                        feature_verdict=feature_gate.outputs["verdict"],
                        parity_verdict=parity_gate.outputs["verdict"],
                        model_verdict=model_gate.outputs["verdict"],
                        transformed=tables["transformed"],
                        transform_graph=tables["transform_graph"],
                        curves=trained["curves"],
                        model=trained["model"],
                        evaluation=evaluation,
                        deployment=deployment,
                        revision=revision,
                    )
