"""What stands in a cluster once everything is applied: pods and Services, also those that controllers make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hemix.infra.check.rules import podspec
from hemix.infra.check.rules.custom import kserve, trainer
from hemix.infra.check.rules.podspec import Template

Manifest = dict[str, Any]
HOME = "hemix"
"""The namespace of objects that name none."""


@dataclass(frozen=True)
class Pod:
    """A kind of pods: where they stand, how they are labelled, and what they are made from."""

    title: str
    namespace: str
    labels: dict[str, str]
    spec: dict[str, Any] = field(default_factory=dict, repr=False)
    maker: str = ""
    """kserve, trainer, kfp; empty: Kubernetes itself."""
    template: Template | None = field(default=None, repr=False)

    def ports(self) -> dict[str | int, int]:
        """Name and number of each port of its containers -> number."""
        found: dict[str | int, int] = {}
        for container in self.spec.get("containers") or ():
            for port in container.get("ports") or ():
                number = port.get("containerPort")
                found[number] = number
                if port.get("name"):
                    found[port["name"]] = number
        return found


@dataclass(frozen=True)
class Service:
    """A Service: its labels, whom it means, and its ports."""

    title: str
    name: str
    namespace: str
    labels: dict[str, str]
    selector: dict[str, str]
    ports: tuple[dict[str, Any], ...]
    headless: bool = False

    def means(self, pod: Pod) -> bool:
        """Whether it sends requests to these pods."""
        own = self.selector.items()
        return bool(own) and self.namespace == pod.namespace and own <= pod.labels.items()


@dataclass(frozen=True)
class World:
    """All objects, and what they come to."""

    manifests: tuple[Manifest, ...] = field(repr=False)
    pods: tuple[Pod, ...]
    services: tuple[Service, ...]
    home: str = HOME
    """The namespace of hemix."""
    runs: str = HOME
    """The namespace of runs."""

    def of(self, kind: str) -> Iterator[Manifest]:
        """All objects of a kind."""
        return (m for m in self.manifests if m["kind"] == kind)

    def named(self, kind: str, name: Any, namespace: str | None = None) -> Manifest | None:
        """An object by name; None when there is none."""
        for manifest in self.of(kind):
            near = namespace is None or space_of(manifest) == namespace
            if near and manifest["metadata"].get("name") == name:
                return manifest
        return None


def space_of(manifest: Manifest) -> str:
    """The namespace of an object."""
    return str(manifest["metadata"].get("namespace") or HOME)


def title_of(manifest: Manifest) -> str:
    """``Kind name``, for people."""
    return f"{manifest['kind']} {manifest['metadata'].get('name')}"


def world(manifests: Sequence[Manifest], runs: Sequence[Manifest] = ()) -> World:
    """What stands once ``manifests`` are applied.

    Args:
        manifests: of an installation, and of what is deployed and started there.
        runs: pods of steps, as KFP makes them.
    """
    spaces = [m["metadata"]["name"] for m in manifests if m["kind"] == "Namespace"]
    home = spaces[0] if spaces else HOME
    users = next(
        (m for m in manifests if m["kind"] == "ServiceAccount" and space_of(m) == "kubeflow"), None
    )
    at = "kubeflow" if users is not None else home
    pods = [*_pods(manifests)]
    for run in runs:
        labels = run["metadata"].get("labels") or {}
        title = f"step {run['metadata']['name']}"
        template = Template("spec", run["spec"], labels, restarts=("Never",))
        pods.append(Pod(title, at, labels, run["spec"], "kfp", template))
    return World(tuple(manifests), tuple(pods), tuple(_services(manifests)), home, at)


def _pods(manifests: Sequence[Manifest]) -> Iterator[Pod]:
    for manifest in manifests:
        title, space = title_of(manifest), space_of(manifest)
        for template in podspec.templates(manifest):
            yield Pod(title, space, template.labels, template.spec, "", template)
        if manifest["kind"] == "InferenceService":
            for where, predictor in kserve.predictors(manifest):
                made = kserve.pod_of(manifest, where, predictor, manifests)
                yield Pod(f"{title} {where}", space, made.labels, made.spec, "kserve", made)
        if manifest["kind"] == "TrainJob":
            for made in trainer.pods_of(manifest, manifests):
                yield Pod(f"{title} {made.where}", space, made.labels, made.spec, "trainer", made)


def _services(manifests: Sequence[Manifest]) -> Iterator[Service]:
    for manifest in manifests:
        if manifest["kind"] == "Service":
            spec = manifest.get("spec") or {}
            yield Service(
                title_of(manifest),
                manifest["metadata"]["name"],
                space_of(manifest),
                manifest["metadata"].get("labels") or {},
                spec.get("selector") or {},
                tuple(spec.get("ports") or ()),
                spec.get("clusterIP") == "None",
            )
        if manifest["kind"] == "InferenceService":
            for _, predictor in kserve.predictors(manifest):
                name = kserve.name_of(manifest, predictor)
                yield Service(
                    f"Service {name} (made by KServe)",
                    name,
                    space_of(manifest),
                    kserve.labels_of(manifest, predictor),
                    {"app": f"isvc.{name}"},
                    tuple(_kserve_ports(manifest, predictor, manifests)),
                )


def _kserve_ports(
    manifest: Manifest, predictor: Manifest, manifests: Sequence[Manifest]
) -> Iterator[dict[str, Any]]:
    """80 to the first port of the container, the others by their own numbers."""
    pod = kserve.pod_of(manifest, "", predictor, manifests).spec
    ports = [p for c in pod.get("containers") or () for p in c.get("ports") or ()]
    for number, port in enumerate(ports):
        own = port.get("containerPort")
        yield {"name": port.get("name"), "port": own if number else 80, "targetPort": own}
