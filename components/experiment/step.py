"""Experiment: what the logs say, what to do about it, and one page that shows both."""

from __future__ import annotations

from pathlib import Path

from hemix.components.experiment.page import Notes, render
from hemix.files import atomic_file, write_json
from hemix.progress import say
from hemix.serving.experiments.applying import apply as apply_decision
from hemix.serving.experiments.assignment import MODEL_LAYER
from hemix.serving.experiments.examining import examine
from hemix.serving.experiments.policy import ExperimentPolicy
from hemix.serving.experiments.results import Analysis, Decision
from hemix.serving.kubernetes.served import ServedRegistry, Site
from hemix.serving.registry.opening import open_registry
from hemix.verdict import Check, Verdict


def run(
    *,
    exposures: str,
    outcomes: str,
    registry: str,
    policy: Path | None,
    apply: bool,
    out_decision: Path,
    out_page: Path,
    layer: str = MODEL_LAYER,
    experiments: Path | None = None,
    known: Path | None = None,
    notes: Notes | None = None,
    cluster: str = "",
    kubeconfig: Path | None = None,
    context: str = "",
) -> Decision:
    """Analyse the experiment that runs in ``layer`` and, with ``apply``, do what was decided.

    The same call again changes nothing: once a decision is applied no experiment runs any more.

    Args:
        exposures: folder or ``s3://`` prefix.
        outcomes: folder or ``s3://`` prefix, or one Parquet file.
        registry: folder or ``s3://`` prefix.
        policy: policy file; None takes the default.
        apply: carry the decision out.
        out_decision: JSON: ``decision`` and ``analysis`` (null when no experiment runs).
        out_page: HTML.
        layer: the layer whose experiment it is; the models' by default.
        experiments: ``experiments.yaml``, for its layers.
        known: Parquet of user_id and number columns from before the experiment, for CUPED.
        notes: what the page says beside the figures.
        cluster: deployment settings of the cluster that serves the registry; what is applied is
            then served there. Empty: the registry only.
        kubeconfig: of the cluster; None: as ``hemix deploy`` finds it.
        context: of the kubeconfig; empty: its current one.

    Raises:
        DataError: logs are missing or lack a column.
        DefinitionError: policy, layer or a metric's task cannot be used.
        RegistryError: nothing is deployed, or the registry cannot be changed.
        ClusterError, DeploymentFailed: the cluster cannot serve what was decided; nothing changed.
    """
    rules = ExperimentPolicy.load(policy)
    opened = open_registry(registry)
    found = examine(
        exposures=exposures,
        outcomes=outcomes,
        registry=opened,
        policy=rules,
        layer=layer,
        experiments=experiments,
        known=known,
    )

    def record(decision: Decision) -> None:
        _write(decision, found.analysis, out_decision)
        text = render(found.design, found.analysis, decision, rules, notes or Notes())
        with atomic_file(out_page) as temporary:
            temporary.write_text(text, encoding="utf-8")

    # What was decided, and why, is on disk before anything live changes.
    record(found.decision)
    decision = found.decision
    if apply and cluster and decision.verdict in ("promote", "roll_back"):
        site = Site.open(cluster, kubeconfig=kubeconfig, context=context)
        say(f"experiment: to be served on {site.cluster.host}, namespace {site.cluster.namespace}")
        opened = ServedRegistry(opened, site)
    if apply:
        decision = apply_decision(decision, opened)
    if decision != found.decision:
        record(decision)
    done = ", applied" if decision.applied else ""
    say(f"experiment: {decision.verdict.replace('_', ' ')}{done}; {decision.reasons[0]}")
    return decision


def verdict_of(decision: Decision) -> Verdict:
    """Whether the logs could be judged by at all: what a pipeline goes on, or stops, by."""
    usable = Check.of(
        "logs_can_be_judged_by",
        float(decision.verdict != "unusable"),
        1.0,
        "equal",
        note="" if decision.verdict != "unusable" else " ".join(decision.reasons),
    )
    return Verdict.of("experiment", [usable])


def _write(decision: Decision, analysis: object, path: Path) -> None:
    body = analysis.model_dump(mode="json") if isinstance(analysis, Analysis) else None
    write_json(path, {"decision": decision.model_dump(mode="json"), "analysis": body})
