"""Fields that some rule here reads: another one may do anything, so it is refused until a rule knows it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hemix.infra.check.rules.own import file, mend, own
from hemix.infra.check.rules.values import QUALIFIED, selector
from hemix.infra.check.rules.world import World, title_of
from hemix.texts.meant import meant

Manifest = dict[str, Any]


def _unknown(title: str, field: str) -> Iterator[str]:
    """A field that is not among those that are shipped, unless it is said to be meant."""
    named = f"{title} {field}"
    if named not in own().changed:
        yield f"{title}: {field}: is not in what is shipped, and nothing checks what it does; take it out, or, if you mean it so, name '{named}' under changed in {file()}"


def _words(text: str) -> set[str]:
    return set(text.split())


_POD = _words(
    "containers initContainers volumes securityContext serviceAccountName affinity nodeSelector "
    "automountServiceAccountToken enableServiceLinks terminationGracePeriodSeconds tolerations "
    "topologySpreadConstraints imagePullSecrets restartPolicy dnsPolicy priorityClassName nodeName "
    "hostNetwork hostPID hostIPC"
)
_CONTAINER = _words(
    "name image command args env envFrom ports resources volumeMounts livenessProbe readinessProbe "
    "startupProbe lifecycle securityContext imagePullPolicy terminationMessagePolicy"
)
_PREDICTOR = {*_POD, *_words("minReplicas maxReplicas deploymentStrategy storageContainerName model timeout name scaleMetric scaleTarget")}  # fmt: skip
_MODEL = _words(
    "modelFormat runtime protocolVersion storageUri resources livenessProbe readinessProbe startupProbe "
    "env image args volumeMounts ports name"
)
_FIELDS: dict[str, dict[tuple[str, ...], set[str]]] = {
    "Deployment": {("spec",): _words("replicas selector template strategy minReadySeconds progressDeadlineSeconds revisionHistoryLimit"),
                   ("spec", "template"): {"metadata", "spec"}},
    "StatefulSet": {("spec",): _words("replicas selector template serviceName volumeClaimTemplates updateStrategy podManagementPolicy minReadySeconds")},
    "Service": {("spec",): _words("ports selector clusterIP type sessionAffinity externalIPs")},
    "PersistentVolumeClaim": {("spec",): _words("accessModes resources storageClassName volumeMode")},
    "PodDisruptionBudget": {("spec",): _words("selector minAvailable maxUnavailable unhealthyPodEvictionPolicy")},
    "LimitRange": {("spec", "limits", "*"): _words("type default defaultRequest max min")},
    "ResourceQuota": {("spec",): {"hard", "scopes"}},
    "ConfigMap": {(): {"apiVersion", "kind", "metadata", "data"}},
    "ServiceAccount": {(): _words("apiVersion kind metadata secrets imagePullSecrets automountServiceAccountToken")},
    "Gateway": {("spec",): {"gatewayClassName", "listeners"},
                ("spec", "listeners", "*"): _words("name port protocol hostname tls allowedRoutes"),
                ("spec", "listeners", "*", "tls"): {"mode", "certificateRefs"},
                ("spec", "listeners", "*", "allowedRoutes"): {"kinds", "namespaces"}},
    "HTTPRoute": {("spec",): {"parentRefs", "rules", "hostnames"},
                  ("spec", "rules", "*"): {"matches", "backendRefs", "timeouts", "filters", "name"},
                  ("spec", "rules", "*", "matches", "*"): {"path"},
                  ("spec", "rules", "*", "filters", "*"): {"type", "urlRewrite", "requestRedirect"},
                  ("spec", "rules", "*", "timeouts"): {"request"},
                  ("spec", "rules", "*", "backendRefs", "*"): _words("group kind name port weight namespace")},
    "ScaledObject": {("spec",): _words("scaleTargetRef minReplicaCount maxReplicaCount pollingInterval cooldownPeriod triggers fallback idleReplicaCount"),
                     ("spec", "triggers", "*"): {"type", "metricType", "metadata", "name"}},
    "ServiceMonitor": {("spec",): {"endpoints", "selector", "namespaceSelector"},
                       ("spec", "endpoints", "*"): _words("interval path relabelings scrapeTimeout targetPort port scheme"),
                       ("spec", "endpoints", "*", "relabelings", "*"): {"targetLabel", "replacement"}},
    "InferenceService": {("spec",): {"predictor", "canary"}, ("spec", "predictor"): _PREDICTOR,
                         ("spec", "canary", "*"): {"predictor", "trafficPercent", "name"},
                         ("spec", "canary", "*", "predictor"): _PREDICTOR,
                         ("spec", "predictor", "model"): _MODEL,
                         ("spec", "canary", "*", "predictor", "model"): _MODEL},
    "ServingRuntime": {("spec",): _words("annotations supportedModelFormats protocolVersions containers volumes nodeSelector tolerations imagePullSecrets disabled multiModel")},
    "TrainJob": {("spec",): _words("runtimeRef trainer runtimePatches activeDeadlineSeconds suspend managedBy"),
                 ("spec", "trainer"): _words("image command args numNodes numProcPerNode resourcesPerNode env")},
    "TrainingRuntime": {("spec",): {"mlPolicy", "template"}, ("spec", "mlPolicy"): {"numNodes", "torch"},
                        ("spec", "template", "spec"): {"replicatedJobs", "failurePolicy"},
                        ("spec", "template", "spec", "replicatedJobs", "*"): {"name", "template", "replicas"}},
}  # fmt: skip
_ANNOTATIONS = {
    "serving.kserve.io/deploymentMode": r"Standard|RawDeployment",
    "serving.kserve.io/autoscalerClass": r"\w+", "kubernetes.io/description": r".*",
    "prometheus.io/path": r"/\S+", "prometheus.io/port": r"\d+", "prometheus.io/scrape": r"true|false",
    "argocd.argoproj.io/sync-wave": r"-?\d+", "argocd.argoproj.io/sync-options": r".+",
    # Identities of clouds; another key of theirs is a mistyped one.
    "eks.amazonaws.com/role-arn": r"arn:aws[a-z-]*:iam::\d{12}:role/\S+",
    "eks.amazonaws.com/audience": r"\S+", "eks.amazonaws.com/sts-regional-endpoints": r"true|false",
    "eks.amazonaws.com/token-expiration": r"\d+",
    "iam.gke.io/gcp-service-account": r"[a-z0-9-]+@[a-z0-9.-]+\.iam\.gserviceaccount\.com",
    "azure.workload.identity/client-id": r"[0-9a-fA-F-]{36}",
    "azure.workload.identity/tenant-id": r"[0-9a-fA-F-]{36}",
    "azure.workload.identity/service-account-token-expiration": r"\d+",
}  # fmt: skip
"""Key -> what its value looks like."""
_LOOKS = {
    "eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/NAME",
    "iam.gke.io/gcp-service-account": "NAME@PROJECT.iam.gserviceaccount.com",
    "azure.workload.identity/client-id": "00000000-0000-0000-0000-000000000000",
    "serving.kserve.io/deploymentMode": "Standard",
}
"""The same for people."""
_LABELS = {
    "app.kubernetes.io/name", "app.kubernetes.io/part-of", "app.kubernetes.io/component",
    "app.kubernetes.io/managed-by", "app.kubernetes.io/version", "app.kubernetes.io/instance",
    "networking.kserve.io/visibility", "sidecar.istio.io/inject", "trainer.kubeflow.org/framework",
    "kubernetes.io/metadata.name", "azure.workload.identity/use",
}  # fmt: skip
_NODES = (
    "kubernetes.io/os", "kubernetes.io/arch", "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region", "node.kubernetes.io/instance-type", "nvidia.com/gpu.product",
    "nvidia.com/gpu.present", "cloud.google.com/gke-accelerator", "cloud.google.com/gke-nodepool",
    "eks.amazonaws.com/nodegroup", "kubernetes.azure.com/agentpool", "karpenter.sh/capacity-type",
)  # fmt: skip
"""Labels that nodes carry by themselves."""


def problems(world: World) -> Iterator[str]:
    """Fields, annotations and labels of controllers that no rule reads."""
    for manifest in world.manifests:
        title = title_of(manifest)
        for path, keys in _FIELDS.get(manifest["kind"], {}).items():
            for place in _at(manifest, path):
                for key in sorted(set(place) - keys):
                    yield from _unknown(title, ".".join((*path, key)))
        yield from (f"{title}: {problem}" for problem in _names(manifest))
    for pod in world.pods:
        at = "" if pod.maker else "spec.template.spec."
        for key in sorted(set(pod.spec) - _POD):
            yield from _unknown(pod.title, f"{at}{key}")
        for container in (*(pod.spec.get("initContainers") or ()), *(pod.spec.get("containers") or ())):  # fmt: skip
            for key in sorted(set(container) - _CONTAINER):
                yield from _unknown(pod.title, f"{at}containers[{container.get('name')}].{key}")
        yield from (f"{pod.title}: {problem}" for problem in _placed(pod.spec))
        if pod.template is not None and not pod.maker:
            yield from (
                f"{pod.title}: {problem}"
                for problem in _keys("annotation", pod.template.annotations)
            )
            yield from (f"{pod.title}: {problem}" for problem in _keys("label", pod.labels))


def _at(value: Any, path: tuple[str, ...]) -> Iterator[Manifest]:
    if not path:
        if isinstance(value, dict):
            yield value
        return
    if path[0] == "*":
        for one in value if isinstance(value, list) else ():
            yield from _at(one, path[1:])
    elif isinstance(value, dict) and path[0] in value:
        yield from _at(value[path[0]], path[1:])


def _names(manifest: Manifest) -> Iterator[str]:
    metadata = manifest["metadata"]
    yield from _keys("annotation", metadata.get("annotations") or {})
    yield from _keys("label", metadata.get("labels") or {})
    for key in set(metadata) & {"finalizers", "ownerReferences", "generateName", "deletionTimestamp"}:  # fmt: skip
        yield f"metadata.{key}: is not for objects that are applied"


def _keys(kind: str, found: Manifest) -> Iterator[str]:
    """Keys with a controller's domain: known ones, with a value that it can read."""
    for key, value in found.items():
        domain, slash, _ = str(key).partition("/")
        if not slash or "." not in domain or key in own().annotations:
            continue
        known = (
            key in _LABELS or domain == "pod-security.kubernetes.io"
            if kind == "label"
            else key in _ANNOTATIONS
        )
        if domain == "autoscaling.keda.sh":
            yield f"{kind} {key}: KEDA then leaves the number of pods as it is, however many users come; take it out, and bound it by min_replicas and max_replicas under scaling in the deployment settings"
        elif not known:
            near = meant(str(key), {*_ANNOTATIONS, *_LABELS}, cutoff=0.85)
            hint = f" ({near[0]} is known)" if near else ""
            yield f"{kind} {key}: no rule here knows what it does{hint}; {mend('annotations')}"
        elif kind == "annotation" and not re.fullmatch(_ANNOTATIONS[key], str(value)):
            yield f"annotation {key}: {value!r} does not look like {_LOOKS.get(key, _ANNOTATIONS[key])}"


def _node(key: Any, values: Any, where: str) -> Iterator[str]:
    if key == "kubernetes.io/hostname":
        yield f"{where}: stands on the node {values} alone, and nowhere when it is gone"
    elif key not in _NODES and key not in own().node_labels:
        yield f"{where}: nodes carry no {key} by themselves; {mend('node_labels', 'the label')}"
    elif key == "kubernetes.io/os" and values not in ("linux", ["linux"]):
        yield f"{where}: {key} is {values}: images of hemix are Linux'"
    elif key == "kubernetes.io/arch":
        for value in [values] if isinstance(values, str) else values or ():
            if value not in ("amd64", *own().architectures):
                yield f"{where}: images of hemix are built for amd64, not {value}; {mend('architectures', f'a build for {value}')}"


def _placed(spec: Manifest) -> Iterator[str]:
    """Node selectors and affinity: terms that are well formed, and that some node can meet."""
    for key, value in (spec.get("nodeSelector") or {}).items():
        yield from _node(key, value, "nodeSelector")
    affinity = spec.get("affinity") or {}
    node = affinity.get("nodeAffinity") or {}
    terms = (node.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms")  # fmt: skip
    for term in terms or ():
        for one in term.get("matchExpressions") or ():
            if one.get("operator") not in ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"):
                yield f"affinity: {one.get('operator')!r} is no operator"
            if one.get("operator") != "NotIn":
                yield from _node(one.get("key"), one.get("values"), "affinity")
    if node and terms == []:
        yield "affinity: no node meets no term"
    for kind in ("podAffinity", "podAntiAffinity"):
        found = affinity.get(kind) or {}
        hard = found.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        soft = found.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        for term in (*hard, *(one.get("podAffinityTerm") or {} for one in soft)):
            if not QUALIFIED.match(str(term.get("topologyKey", ""))) or not term.get("topologyKey"):
                yield f"affinity.{kind}: topologyKey {term.get('topologyKey')!r}"
            yield from selector(f"affinity.{kind}", term.get("labelSelector"))
        for one in soft:
            if not 1 <= int(one.get("weight", 0)) <= 100:
                yield f"affinity.{kind}: weight {one.get('weight')} is not 1 to 100"
        if hard:
            yield f"affinity.{kind}: pods wait for ever when no node is left (required)"
