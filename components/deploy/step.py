"""Deploy a model version: publish its features, add it to the registry, say what came of it."""

from __future__ import annotations

from pathlib import Path

from hemix.components.deploy.cluster import WHY, serve
from hemix.features.store.publish import publish
from hemix.files import write_json
from hemix.progress import say
from hemix.serving.experiments.assignment import variants_of
from hemix.serving.kubernetes.served import Site
from hemix.serving.registry.opening import open_registry
from hemix.serving.registry.signing import signing_told
from hemix.serving.registry.transitions import check_share, outdated, running_policy, running_told
from hemix.storage import name_of
from hemix.verdict import Verdict


def run(
    *,
    model: Path,
    verdict: Path,
    repository: Path,
    registry: str | Path,
    feature_store: str | Path,
    share: float,
    cluster: str = "",
    running: str = "wait",
    champion: str | None = None,
    out_deployment: Path,
) -> None:
    """Put ``model`` into service when its verdict passed; the same call again changes nothing.

    Args:
        model: model version folder.
        verdict: validate_model's verdict.
        repository: feature repository of this version.
        registry: the registry, a folder or an ``s3://`` prefix; made when absent.
        feature_store: the live feature store, a folder or an ``s3://`` prefix; made when absent.
        share: share of users ``[0, 1)`` of a challenger; the first version serves everyone.
        cluster: deployment settings of a Kubernetes cluster as JSON or YAML text, which then serves
            the version; empty: the registry only.
        running: what becomes of an experiment that runs already: wait, replace or queue.
        champion: location of the version that the gates compared it with, empty for none: when
            another is champion by now, the version stays a candidate. None: not said.
        out_deployment: JSON: version, state, variants with their shares, folders.

    Raises:
        GateFailed: the verdict did not pass; nothing live was changed.
        ModelVersionError: the model is not what its manifest says.
        DefinitionError: ``cluster`` demands signed versions and this one would not be.
        RegistryError: ``share`` out of range, or another model of the same name is registered.
        ClusterError, DeploymentFailed: the cluster refused, or the version's pods did not become
            ready; who served before serves on.
    """
    found = Verdict.read(verdict)
    found.require()
    check_share(share)
    policy = running_policy(running)
    judged = None if champion is None else name_of(champion) if champion else ""
    version = _version(model)
    site = Site.open(cluster, str(feature_store)) if cluster else None
    demanded = site is not None and bool(site.settings.secrets.signing)
    say(f"deploy: {version} {signing_told(model, demanded=demanded)}")
    # Features first: a version that the endpoint may pick up must find what it reads.
    publish(repository, feature_store)
    store = open_registry(registry)
    if site is None:
        state = store.add(model, share=share, why=WHY, verdict=found, running=policy, judged=judged)
    else:
        state = serve(
            site, model, version, store, share=share, verdict=found, running=policy, judged=judged
        )
    variants = variants_of(state)
    write_json(
        out_deployment,
        {
            "version": version,
            "state": state.state_of(version),
            "variants": [
                {"name": v.name, "version": v.version, "share": v.share} for v in variants
            ],
            "salt": state.salt,
            "registry": str(registry),
            "feature_store": str(feature_store),
        },
    )
    if state.state_of(version) == "candidate" and outdated(state, judged):
        say(
            f"deploy: {version} was compared with {judged or 'no champion'}, and {state.champion} is "
            "champion by now: it stays a candidate; the next run is compared with that one"
        )
    elif state.state_of(version) == "candidate" and state.challengers:
        place = "is next" if state.queue else "stays a candidate"
        say(f"deploy: {version} {place}: {running_told(state)} (running_experiment: {policy})")
    split = ", ".join(f"{v.name} {v.version} {v.share:.0%}" for v in variants)
    say(f"deploy: {version} is {state.state_of(version)}; {split}")


def _version(model: Path) -> str:
    from hemix.models.versions.version import verify

    return verify(model).version
