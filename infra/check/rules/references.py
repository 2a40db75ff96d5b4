"""Who means whom: every name, label and port in an object leads to something that is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hemix.infra.check.rules.custom import kserve, trainer
from hemix.infra.check.rules.named_by_pods import OUTSIDE, addresses, named_by_pod, secrets
from hemix.infra.check.rules.own import mend
from hemix.infra.check.rules.podspec import problems as pod_problems
from hemix.infra.check.rules.values import selects
from hemix.infra.check.rules.world import Pod, World, space_of, title_of

Manifest = dict[str, Any]


def problems(world: World) -> Iterator[str]:
    """Everything that leads nowhere."""
    for pod in world.pods:
        for problem in (*named_by_pod(world, pod), *_made(pod)):
            yield f"{pod.title}: {problem}"
    for manifest in world.manifests:
        rule = _RULES.get(manifest["kind"])
        if rule is not None:
            for problem in rule(world, manifest):
                yield f"{title_of(manifest)}: {problem}"


def _made(pod: Pod) -> Iterator[str]:
    """Pods that a controller puts together from several objects are looked at when they are whole."""
    if pod.maker in ("kserve", "trainer") and pod.template is not None:
        yield from pod_problems(pod.template)


def _meant(world: World, selector: Any, namespace: str) -> list[Pod]:
    return [p for p in world.pods if p.namespace == namespace and selects(selector, p.labels)]


def _service(world: World, manifest: Manifest) -> Iterator[str]:
    own = next(s for s in world.services if s.title == title_of(manifest) and s.namespace == space_of(manifest))  # fmt: skip
    pods = [pod for pod in world.pods if own.means(pod)]
    if not pods:
        yield "its selector means no pod"
        return
    for port in own.ports:
        target = port.get("targetPort", port.get("port"))
        if not any(target in pod.ports() for pod in pods):
            yield f"port {port.get('name')}: no container has the port {target}"


def _budget(world: World, manifest: Manifest) -> Iterator[str]:
    if not _meant(world, manifest["spec"].get("selector"), space_of(manifest)):
        yield "its selector means no pod: it protects nothing"


def _set(world: World, manifest: Manifest) -> Iterator[str]:
    name = manifest["spec"].get("serviceName")
    service = next((s for s in world.services if (s.name, s.namespace) == (name, space_of(manifest))), None)  # fmt: skip
    if service is None:
        yield f"serviceName: there is no Service {name}"
    elif not service.headless:
        yield f"serviceName: {service.title} is not headless"
    elif not any(service.means(pod) for pod in world.pods if pod.title == title_of(manifest)):
        yield f"serviceName: {service.title} does not mean its pods"


def _monitor(world: World, manifest: Manifest) -> Iterator[str]:
    spec = manifest["spec"]
    spaces = (spec.get("namespaceSelector") or {}).get("matchNames") or [space_of(manifest)]
    found = [s for s in world.services if s.namespace in spaces and selects(spec.get("selector"), s.labels)]  # fmt: skip
    if not found:
        yield "its selector means no Service"
        return
    for number, end in enumerate(spec.get("endpoints") or ()):
        for service in found:
            pods = [pod for pod in world.pods if service.means(pod)]
            if "targetPort" in end:
                first = [next(iter(pod.ports().values()), None) for pod in pods]
                if not any(pod.ports().get(end["targetPort"]) in first for pod in pods):
                    yield f"endpoints[{number}]: no figures are told at {end['targetPort']} behind {service.title}"
            elif end.get("port") not in {p.get("name") for p in service.ports}:
                yield f"endpoints[{number}]: {service.title} has no port called {end.get('port')}"


def _route(world: World, manifest: Manifest) -> Iterator[str]:
    space = space_of(manifest)
    for parent in manifest["spec"].get("parentRefs") or ():
        kind, name = parent.get("kind", "Gateway"), parent.get("name")
        if (
            kind == "Gateway"
            and parent.get("group", "gateway.networking.k8s.io") != "gateway.networking.k8s.io"
        ):
            yield f"parentRefs: group {parent.get('group')}"
        if (kind, name) in OUTSIDE:
            continue
        gateway = world.named(kind, name, parent.get("namespace", space))
        if gateway is None:
            yield f"parentRefs: there is no {kind} {name} in {parent.get('namespace', space)}"
            continue
        yield from _attached(gateway, parent, space)
    for number, rule in enumerate(manifest["spec"].get("rules") or ()):
        for backend in rule.get("backendRefs") or ():
            where, name = backend.get("namespace", space), backend.get("name")
            service = next(
                (s for s in world.services if (s.name, s.namespace) == (name, where)), None
            )
            if backend.get("kind", "Service") != "Service" or backend.get("group", "") != "":
                yield f"rules[{number}]: backend {name} is no Service"
            elif service is None:
                yield f"rules[{number}]: there is no Service {name} in {where}"
            elif backend.get("port") not in {p.get("port") for p in service.ports}:
                yield f"rules[{number}]: {service.title} has no port {backend.get('port')}"
            if where != space:
                yield f"rules[{number}]: backend {name} in {where} needs a ReferenceGrant"


def _attached(gateway: Manifest, parent: Manifest, space: str) -> Iterator[str]:
    listeners = gateway["spec"].get("listeners") or ()
    section, port = parent.get("sectionName"), parent.get("port")
    fits = [one for one in listeners if section in (None, one.get("name")) and port in (None, one.get("port"))]  # fmt: skip
    if not fits:
        yield f"parentRefs: {title_of(gateway)} has no listener {section or port}"
    taken = []
    for one in fits:
        allowed = one.get("allowedRoutes") or {}
        kinds = [kind.get("kind") for kind in allowed.get("kinds") or ()] or ["HTTPRoute"]
        come = (allowed.get("namespaces") or {}).get("from", "Same")
        taken.append("HTTPRoute" in kinds and (come == "All" or (come == "Same" and space == space_of(gateway))))  # fmt: skip
    if fits and not any(taken):
        yield f"parentRefs: {title_of(gateway)} does not take this route"


def _gateway(world: World, manifest: Manifest) -> Iterator[str]:
    for one in manifest["spec"].get("listeners") or ():
        for reference in (one.get("tls") or {}).get("certificateRefs") or ():
            if reference.get("name") not in secrets():
                yield f"listener {one.get('name')}: there is no secret {reference.get('name')}; {mend('secrets')}"
            elif not {"tls.crt", "tls.key"} <= secrets()[reference["name"]]:
                yield f"listener {one.get('name')}: secret {reference['name']} is no certificate"
            elif reference.get("namespace", space_of(manifest)) != space_of(manifest):
                yield f"listener {one.get('name')}: its certificate lies in another namespace"


def _scaled(world: World, manifest: Manifest) -> Iterator[str]:
    target = manifest["spec"].get("scaleTargetRef") or {}
    kind, name = target.get("kind", "Deployment"), target.get("name")
    made: dict[str, Manifest] = {}
    for service in world.of("InferenceService"):
        for _, predictor in kserve.predictors(service):
            if space_of(service) == space_of(manifest):
                made[kserve.name_of(service, predictor)] = service
    if kind != "Deployment" or target.get("apiVersion", "apps/v1") != "apps/v1":
        yield f"scaleTargetRef: KServe makes Deployments of apps/v1, not {kind}"
    elif name not in made and world.named(kind, name, space_of(manifest)) is None:
        yield f"scaleTargetRef: there is no {kind} {name}"
    elif name in made:
        service = made[name]
        annotations = service["metadata"].get("annotations") or {}
        if annotations.get("serving.kserve.io/autoscalerClass") not in ("external", "none"):
            yield f"{title_of(service)} is scaled by KServe too"
        predictor = service["spec"]["predictor"]
        for key, own in (("minReplicaCount", "minReplicas"), ("maxReplicaCount", "maxReplicas")):
            if manifest["spec"].get(key) != predictor.get(own):
                yield f"{key} {manifest['spec'].get(key)} is not the predictor's {own} {predictor.get(own)}"
        fallback = (manifest["spec"].get("fallback") or {}).get("replicas", 0)
        if fallback > manifest["spec"].get("maxReplicaCount", 100):
            yield f"fallback: {fallback} pods are above maxReplicaCount"


def _policy(world: World, manifest: Manifest) -> Iterator[str]:
    spec = manifest["spec"]
    wanted = spec.get("podSelector") or {}
    theirs = "ml-pipeline-ui-artifact" in (wanted.get("matchLabels") or {}).values()
    if wanted and not theirs and not _meant(world, wanted, space_of(manifest)):
        yield "its podSelector means no pod"
    for side, key in (("ingress", "from"), ("egress", "to")):
        for number, rule in enumerate(spec.get(side) or ()):
            for peer in rule.get(key) or ():
                inner, space = peer.get("podSelector"), peer.get("namespaceSelector")
                if inner and space is None and not _meant(world, inner, space_of(manifest)):
                    yield f"{side}[{number}]: {inner} means no pod"


def _service_account(_: World, manifest: Manifest) -> Iterator[str]:
    for key in ("secrets", "imagePullSecrets"):
        for reference in manifest.get(key) or ():
            if reference.get("name") not in secrets():
                yield f"{key}: there is no secret {reference.get('name')}; {mend('secrets')}"


def _binding(world: World, manifest: Manifest) -> Iterator[str]:
    role = manifest["roleRef"]
    space = space_of(manifest) if role.get("kind") == "Role" else None
    if world.named(str(role.get("kind")), role.get("name"), space) is None:
        yield f"there is no {role.get('kind')} {role.get('name')}"
    for subject in manifest.get("subjects") or ():
        where, name = subject.get("namespace"), subject.get("name")
        known = world.named("ServiceAccount", name, where) is not None
        if subject.get("kind") == "ServiceAccount" and not known:
            yield f"there is no service account {name} in {where}"


def _inference(world: World, manifest: Manifest) -> Iterator[str]:
    yield from kserve.together(manifest, world.manifests)
    version = (manifest["metadata"].get("annotations") or {}).get("hemix/model-version")
    for where, predictor in kserve.predictors(manifest):
        account = predictor.get("serviceAccountName")
        model = predictor.get("model")
        if model is None:
            continue
        uri = str(model.get("storageUri") or "")
        if version and not uri.rstrip("/").endswith(f"/{version}"):
            yield f"{where}.model.storageUri: {uri} is not version {version}"
        for probe in ("readinessProbe",):
            path = ((model.get(probe) or {}).get("httpGet") or {}).get("path")
            if path is not None and path != f"/v2/models/{version}/ready":
                yield f"{where}.model.{probe}: {path} is not asked of version {version}"
        found = world.named("ServiceAccount", account, space_of(manifest))
        held = {s.get("name") for s in (found or {}).get("secrets") or ()}
        if uri.startswith("s3://") and "hemix-storage" not in held:
            yield f"{where}: {account} does not hold hemix-storage: the model is never downloaded"


def _train(world: World, manifest: Manifest) -> Iterator[str]:
    yield from trainer.together(manifest, world.manifests)


def _claim(world: World, manifest: Manifest) -> Iterator[str]:
    """A claim that one pod can mount: one replica, which ends before the next one starts."""
    modes = manifest["spec"].get("accessModes") or ()
    if "ReadWriteMany" in modes:
        return
    name = manifest["metadata"]["name"]
    for holder in world.manifests:
        spec = holder.get("spec") or {}
        for where, pod, most, strategy in _holders(holder, spec):
            claims = [(v.get("persistentVolumeClaim") or {}).get("claimName") for v in pod.get("volumes") or ()]  # fmt: skip
            if name not in claims or space_of(holder) != space_of(manifest):
                continue
            whose = f"{title_of(holder)} {where}".strip()
            if most > 1:
                yield f"{whose} may have {most} pods, and one can mount it ({', '.join(modes)})"
            elif strategy != "Recreate":
                yield f"{whose}: a new pod waits for the volume of the old one: strategy Recreate"


def _holders(holder: Manifest, spec: Manifest) -> Iterator[tuple[str, Manifest, int, str]]:
    if holder["kind"] == "Deployment":
        kind = (spec.get("strategy") or {}).get("type", "RollingUpdate")
        yield "", (spec.get("template") or {}).get("spec") or {}, spec.get("replicas", 1), kind
    if holder["kind"] == "InferenceService":
        for where, predictor in kserve.predictors(holder):
            kind = (predictor.get("deploymentStrategy") or {}).get("type", "RollingUpdate")
            most = max(predictor.get("maxReplicas", 0), predictor.get("minReplicas", 1))
            yield where, predictor, most, kind


def _config_map(world: World, manifest: Manifest) -> Iterator[str]:
    for text in (manifest.get("data") or {}).values():
        if "predictors:" in text or "jobmanager" in text:
            for line in text.splitlines():
                yield from addresses(world, space_of(manifest), line)


Rule = Callable[[World, Manifest], Iterator[str]]
_RULES: dict[str, Rule] = {
    "Service": _service,
    "PodDisruptionBudget": _budget,
    "StatefulSet": _set,
    "ServiceMonitor": _monitor,
    "HTTPRoute": _route,
    "Gateway": _gateway,
    "ScaledObject": _scaled,
    "NetworkPolicy": _policy,
    "ServiceAccount": _service_account,
    "RoleBinding": _binding,
    "ClusterRoleBinding": _binding,
    "InferenceService": _inference,
    "TrainJob": _train,
    "PersistentVolumeClaim": _claim,
    "ConfigMap": _config_map,
}
