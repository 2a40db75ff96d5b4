"""Objects that are made by code rather than by kustomize: the endpoint's, and pipelines."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hemix.components.steps import BY_NAME
from hemix.components.train.cluster_settings import TrainCluster
from hemix.infra.check.objects import ROOT, Object, documents, kustomized
from hemix.infra.check.users.settings import usual
from hemix.pipelines.compiler.compiler import COMPONENT, PIPELINES
from hemix.serving.kubernetes.manifests.render import render
from hemix.serving.kubernetes.manifests.settings import DeploymentSettings
from hemix.serving.registry.transitions import RegistryState, add

REGISTRY = "s3://models/registry"
_SETTINGS = {
    "as shipped": "",
    "KEDA and a signing key": (
        "secrets: {signing: hemix-signing, redis: hemix-redis}\n"
        "ranker: {scaling: {by: keda, prometheus: 'http://prometheus.monitoring:9090'}}\n"
        "predictor: {scaling: {by: keda}}\n"
        "storage: {events: 'redis://hemix-redis:6379/1'}\n"
    ),
    "GPU and a volume": (
        "predictor: {resources: {cpu: '1', memory: 6Gi, gpu: 1}, scaling: {by: none, min_replicas: 1}}\n"
        "storage: {models: 'pvc://hemix-data/registry', claim: hemix-data, claim_mode: ReadWriteOnce}\n"
        "ranker: {scaling: {by: none, min_replicas: 1}}\n"
    ),
    "an image on trial": (
        "inner_gateway: {name: hemix-inner, url: 'http://hemix-inner.hemix'}\n"
        "rollout: {image: 'localhost/hemix/serve:0.1.1', percent: 10, role: predictor}\n"
    ),
}


def state() -> RegistryState:
    """A champion, and a challenger with a tenth of the users."""
    first, second = "20220430-1a2b3c4d", "20220507-5e6f7a8b"
    return add(add(RegistryState(), first, share=0.1), second, share=0.1)


def endpoint(ranker: str = "ranker") -> Iterator[Object]:
    """What ``hemix deploy`` applies, for each of the kinds of settings there are."""
    for name, text in _SETTINGS.items():
        settings = DeploymentSettings.parse(text).model_copy(update={"name": ranker})
        rendered = render(state(), settings, registry=REGISTRY)
        for manifest in rendered.manifests:
            yield Object(f"hemix deploy, {name}", manifest)


def shipped(settings: DeploymentSettings | None = None) -> Iterator[Object]:
    """What ``hemix deploy`` applies; None: when its settings say nothing."""
    rendered = render(state(), settings or DeploymentSettings(), registry=REGISTRY)
    for manifest in rendered.manifests:
        yield Object("hemix deploy, as shipped" if settings is None else "hemix deploy", manifest)


def initializer() -> Iterator[Object]:
    """What KServe needs of a cluster's administrator."""
    folder = ROOT / "infra" / "kserve"
    yield from documents((folder / "storage-container.yaml").read_text(), "infra/kserve")


def argo() -> Object:
    """Argo's defaults, once a cluster."""
    path = ROOT / "infra" / "kfp" / "workflow-defaults.yaml"
    (found,) = documents(path.read_text(), "infra/kfp/workflow-defaults.yaml")
    return found


def variants(
    home: Callable[[str], str] | None = None,
) -> Iterator[tuple[str, str, list[Object]]]:
    """``(settings, overlay that suits them, objects)`` of every kind of deployment settings.

    ``home``: the namespace of an overlay, by its name; None: as shipped.
    """
    for name, text in _SETTINGS.items():
        settings = DeploymentSettings.parse(text)
        if home is not None:
            space = home("local" if settings.storage.claim else "prod")
            text = text.replace("hemix-inner.hemix", f"hemix-inner.{space}")
            settings = DeploymentSettings.parse(f"namespace: {space}\n{text}")
        rendered = render(state(), settings, registry=REGISTRY)
        found = [Object(f"hemix deploy, {name}", m) for m in rendered.manifests]
        yield name, "local" if settings.storage.claim else "prod", found


def optional() -> Iterator[Object]:
    """What is applied beside an overlay where it is wanted: Flink, the runtime of trainings."""
    for name in ("flink", "training"):
        yield from kustomized(ROOT / "infra" / name)


def trainings(settings: TrainCluster | None = None) -> Iterator[Object]:
    """The TrainJobs of the train step, on CPUs with S3 and on GPUs with a volume.

    ``settings``: of the first one; namespace and image of both. None: as shipped, with the image of
    the cluster settings.
    """
    from hemix.components.train.trainjob import render
    from hemix.components.train.worker import Work
    from hemix.models.training.recipes import TrainingConfig

    work = Work(
        recipe={},
        spec="s3://runs/inputs/spec",
        train="s3://runs/inputs/train",
        validation="s3://runs/inputs/validation",
        checkpoints="s3://runs/checkpoints",
        attempt="0123456789ab",
    )
    gpu = (
        "resources: {cpu: '8', memory: 64Gi, nvidia.com/gpu: '1'}\n"
        "tolerations: [{key: nvidia.com/gpu, operator: Exists}]\n"
        "volume: hemix-shared\n"
    )
    for name, text, training in (
        ("on CPUs", "", TrainingConfig(nodes=2)),
        ("on GPUs", gpu, TrainingConfig(nodes=4, batch_size=4096)),
    ):
        known = TrainCluster.parse(text)
        if settings is not None and not text:
            known = settings
        elif settings is not None:
            update = {"namespace": settings.namespace, "image": settings.image}
            known = known.model_copy(update=update)
        else:
            known = known.model_copy(update={"image": usual().images.reference("train")})
        job = render(work, training, known, "20220430-1a2b3c4d")
        if known.namespace:  # the step's client says it when it makes the job
            job["metadata"]["namespace"] = known.namespace
        yield Object(f"the train step, {name}", job)


def pipelines() -> tuple[str, ...]:
    """Every pipeline, and every step alone, by the name that ``hemix compile`` knows it by."""
    return (*PIPELINES, *(f"{COMPONENT}{step}" for step in BY_NAME))


MADE = (endpoint, optional, trainings, initializer)
"""Whatever makes objects in code."""
