"""Who must reach whom, and who must not: NetworkPolicies worked out, flow by flow.

A policy acts on the port of the pod, not of the Service before it. A pod that no policy names is open;
one that any policy names is closed but for what the policies together open.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hemix.infra.check.rules.own import file
from hemix.infra.check.rules.own import own as own_names
from hemix.infra.check.rules.values import selects
from hemix.infra.check.rules.world import World, space_of

Manifest = dict[str, Any]


@dataclass(frozen=True)
class End:
    """One end of a flow: pods in a namespace, or an address outside."""

    title: str
    namespace: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    spaces: dict[str, str] = field(default_factory=dict)
    """Labels of the namespace."""
    address: str = ""
    ports: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Flow:
    """From a pod to a port. ``wanted``: whether it must be open, or must be closed."""

    source: End
    target: End
    port: int
    protocol: str = "TCP"
    wanted: bool = True

    def told(self) -> str:
        """For people."""
        return f"{self.source.title} -> {self.target.title} {self.port}/{self.protocol}"


def problems(world: World) -> Iterator[str]:
    """Flows that are closed and must be open, and the other way round."""
    policies = list(world.of("NetworkPolicy"))
    found = list(flows(world))
    for flow in (*found, *_closed(world, found)):
        side = blocked(policies, flow)
        if flow.wanted and side:
            yours = f"; if your storage is in another network, say storage_address in {file()}"
            yield f"{flow.told()} is closed ({side}{yours if flow.target is STORE else ''}); {_opened(policies, flow)}"
        if not flow.wanted and not side:
            yield f"{flow.told()} is open and must not be"


def blocked(policies: Sequence[Manifest], flow: Flow) -> str:
    """Which side closes a flow; empty when it is open."""
    if not _allowed(policies, flow, flow.source, flow.target, "egress"):
        return f"no policy lets {flow.source.title} out"
    if not _allowed(policies, flow, flow.target, flow.source, "ingress"):
        return f"no policy lets it in at {flow.target.title}"
    return ""


def _opened(policies: Sequence[Manifest], flow: Flow) -> str:
    """What to add to which policy, so that a closed flow is open."""
    out = not _allowed(policies, flow, flow.source, flow.target, "egress")
    pods, other = (flow.source, flow.target) if out else (flow.target, flow.source)
    side, peers = ("egress", "to") if out else ("ingress", "from")
    port = f"{{port: {flow.port}, protocol: {flow.protocol}}}"
    of_pods = [
        (str(policy["metadata"].get("name")), (policy.get("spec") or {}).get(side) or ())
        for policy in policies
        if space_of(policy) == pods.namespace
        and selects((policy.get("spec") or {}).get("podSelector"), pods.labels)
    ]
    near = [n for n, rules in of_pods if any(_peer(r.get(peers), other, pods) for r in rules)]
    if near:
        return f"add {port} under {side} to the NetworkPolicy {' or '.join(near)}, or turn its labels and peers back to what is shipped"
    known = [name for name, _ in of_pods if name not in ("default-deny", "dns")]
    where = f"NetworkPolicy {' or '.join(known)}" if known else "a NetworkPolicy of these pods"
    return f"add under {side} of {where} a rule {peers} {other.title} with {port}"


def _allowed(policies: Sequence[Manifest], flow: Flow, own: End, other: End, side: str) -> bool:
    if own.address or not own.namespace:
        return True
    kind, peers = ("Egress", "to") if side == "egress" else ("Ingress", "from")
    named = False
    for policy in policies:
        spec = policy.get("spec") or {}
        kinds = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
        if space_of(policy) != own.namespace or kind not in kinds:
            continue
        if not selects(spec.get("podSelector", {}), own.labels):
            continue
        named = True
        for rule in spec.get(side) or ():
            if _port(rule.get("ports"), flow, flow.target) and _peer(rule.get(peers), other, own):
                return True
    return not named


def _port(ports: Any, flow: Flow, target: End) -> bool:
    if not ports:
        return True
    for port in ports:
        number = port.get("port")
        if port.get("protocol", "TCP") != flow.protocol:
            continue
        if isinstance(number, str):
            number = target.ports.get(number)
        if number is None and "port" not in port:
            return True
        if number is not None and number <= flow.port <= port.get("endPort", number):
            return True
    return False


def _peer(peers: Any, other: End, own: End) -> bool:
    if not peers:
        return True
    for peer in peers:
        block = peer.get("ipBlock")
        if block is not None:
            address = own_names().storage_address if other is STORE else other.address
            if address and _within(address, block):
                return True
            continue
        if other.address:
            continue
        space, pod = peer.get("namespaceSelector"), peer.get("podSelector")
        near = other.namespace == own.namespace if space is None else selects(space, other.spaces)
        if near and (pod is None or selects(pod, other.labels)):
            return True
    return False


def _within(address: str, block: Manifest) -> bool:
    try:
        host = ipaddress.ip_address(address)
        inside = host in ipaddress.ip_network(block["cidr"])
        return inside and not any(
            host in ipaddress.ip_network(e) for e in block.get("except") or ()
        )
    except (ValueError, KeyError):
        return False  # said where policies are looked at by themselves


# ---- the table ----------------------------------------------------------------------------------

STORE = End("object storage outside", address=own_names().storage_address)
API = End("the API server", address="198.51.100.1")
METADATA = End("the node's metadata address", address="169.254.169.254")
_KUBE = {"kubernetes.io/metadata.name": "kubeflow"}
_KFP = (("the KFP API (gRPC)", 8887), ("the KFP API", 8888), ("KFP's metadata", 8080),
        ("KFP's SeaweedFS", 8333), ("KFP's MinIO", 9000))  # fmt: skip


def flows(world: World) -> Iterator[Flow]:
    """Every flow that must be open in this installation, and some that must not."""
    home = world.home
    at_home = {"kubernetes.io/metadata.name": home}
    storage = End("object storage inside", "s3", {"app": "s3"}, {"hemix/storage": "true"})
    gateway = End("the gateway", "gateways", {"app": "envoy"}, {"hemix/gateway": "true"})
    prometheus = End(
        "Prometheus", "monitoring", {"app": "prometheus"}, {"hemix/monitoring": "true"}
    )
    stranger = End("a stranger's pod", "elsewhere", {"app": "x"}, {"kubernetes.io/metadata.name": "elsewhere"})  # fmt: skip
    groups: dict[str, list[End]] = {}
    for pod in world.pods:
        spaces = (
            at_home if pod.namespace == home else {"kubernetes.io/metadata.name": pod.namespace}
        )
        end = End(pod.title, pod.namespace, pod.labels, spaces, "", dict(pod.ports()))
        group = groups.setdefault(_group(pod.maker, pod.labels), [])
        # Policies go by labels: pods that carry the same ones are one end.
        if not any((e.namespace, e.labels) == (end.namespace, end.labels) for e in group):
            group.append(end)
    steps, rankers = groups.get("step", []), groups.get("ranker", [])
    predictors, nodes = groups.get("predictor", []), groups.get("node", [])
    redis, flink = groups.get("redis", []), groups.get("flink", [])
    ours = [*steps, *rankers, *predictors, *nodes, *redis, *flink]
    yield from _everyone(ours, world)
    for name, port in _KFP:
        yield from (Flow(one, End(name, "kubeflow", {"app": "kfp"}, _KUBE), port) for one in steps)
    for one in (*steps, *rankers, *predictors, *nodes):
        yield Flow(one, STORE, 443)
        if one.namespace == home:
            yield from (Flow(one, STORE, port) for port in _storage_ports(world))
        yield Flow(one, storage, 9000)
        yield Flow(one, storage, 443)
        if one.namespace == home:
            yield Flow(one, METADATA, 80, wanted=_identity(world))
            yield Flow(one, METADATA, 443, wanted=False)
            yield Flow(one, STORE, 22, wanted=False)
    for one in steps:
        yield from (Flow(one, API, port) for port in (443, 6443))
        yield from (Flow(one, target, 6379) for target in redis)
    for one in rankers:
        yield from (Flow(one, target, 6379) for target in redis)
        yield from (Flow(one, target, port) for target in predictors for port in _listens(target))
        yield from (Flow(one, gateway, port) for port in (80, 8080))
        yield from (Flow(gateway, one, port) for port in _listens(one))
    for one in (*rankers, *predictors):
        yield Flow(gateway, one, 8080)
        yield Flow(prometheus, one, 8080)
        yield Flow(stranger, one, 8080, wanted=False)
    for one in nodes:
        yield from (Flow(one, other, port) for other in nodes for port in (29400, 29500, 41000))
        yield Flow(stranger, one, 29400, wanted=False)
    for one in redis:
        yield Flow(stranger, one, 6379, wanted=False)
        yield Flow(gateway, one, 6379, wanted=False)
        yield Flow(one, STORE, 443, wanted=False)
        yield from (Flow(other, one, 6379, wanted=False) for other in predictors)
    yield from _flink(flink, steps, stranger)
    yield from _artifacts(world, storage, stranger)


_ODD = (22, 53, 80, 443, 6379, 8080, 8099, 9000)
"""Ports that pods of others listen at."""


def _closed(world: World, known: Sequence[Flow]) -> Iterator[Flow]:
    """All that the table does not name is closed: each of ours to each of ours, to and from strangers."""
    named = {(id(f.source), id(f.target), f.port, f.protocol) for f in known}
    # Others' pods are opened by their namespace.
    spaces = {(id(f.source), f.target.namespace, f.port, f.protocol) for f in known}
    ours = list({id(e): e for f in known for e in (f.source, f.target) if _of(e, world)}.values())
    others = list({id(e): e for f in known for e in (f.source, f.target)
                   if not e.address and not _of(e, world)}.values())  # fmt: skip
    for target in (one for one in ours if one.namespace == world.home):
        numbers = {n for n in target.ports.values() if isinstance(n, int)} or {8080}
        for source in (*ours, *others):
            within = {_group("", source.labels), _group("", target.labels)} == {"flink"} or (
                _JOBSET in source.labels and _JOBSET in target.labels
            )
            for port in () if within else sorted({*numbers, 22}):
                if (id(source), id(target), port, "TCP") not in named:
                    yield Flow(source, target, port, wanted=False)
    for source in ours:
        if source.namespace != world.home:
            continue
        for target in others:
            for port, protocol in (*((n, "TCP") for n in _ODD), (53, "UDP")):
                told = (id(source), target.namespace, port, protocol) in spaces
                if not told and target.spaces != _STORAGE:
                    yield Flow(source, target, port, protocol, wanted=False)
        for port in (22, 80, 443, 9000):
            if (id(source), id(STORE), port, "TCP") not in named:
                yield Flow(source, STORE, port, wanted=False)


_STORAGE = {"hemix/storage": "true"}


def _of(end: End, world: World) -> bool:
    """Ours: in our namespaces, with ports of its own, or a step or a node of a training."""
    known = bool(end.ports) or bool({_STEP, _JOBSET} & set(end.labels))
    return end.namespace in (world.home, world.runs) and known


_STEP, _JOBSET = "pipelines.kubeflow.org/v2_component", "jobset.sigs.k8s.io/jobset-name"


def _listens(end: End) -> list[int]:
    """The ports that a role answers at: the ranker's gRPC too; predictors are asked over HTTP."""
    numbers = sorted({n for n in end.ports.values() if isinstance(n, int)})
    component = end.labels.get("app.kubernetes.io/component")
    return numbers if component == "ranker" else numbers[:1]


def _everyone(ours: list[End], world: World) -> Iterator[Flow]:
    dns = End("kube-dns", "kube-system", {"k8s-app": "kube-dns"}, {"kubernetes.io/metadata.name": "kube-system"})  # fmt: skip
    near = End("NodeLocal DNS", address="169.254.20.10")
    other = {"dns.operator.openshift.io/daemonset-dns": "default"}
    openshift = End("OpenShift's DNS", "openshift-dns", other, {"kubernetes.io/metadata.name": "openshift-dns"})  # fmt: skip
    for one in ours:
        if one.namespace != world.home:
            continue
        for protocol in ("UDP", "TCP"):
            yield Flow(one, dns, 53, protocol)
            yield Flow(one, near, 53, protocol)
            yield Flow(one, openshift, 5353, protocol)


def _flink(flink: list[End], steps: list[End], stranger: End) -> Iterator[Flow]:
    part = {end.labels.get("app.kubernetes.io/component"): end for end in flink}
    if not {"jobmanager", "taskmanager", "jobserver"} <= set(part):
        return
    manager, worker, server = part["jobmanager"], part["taskmanager"], part["jobserver"]
    for source, target, ports in (
        (worker, manager, (6123, 6124)),
        (manager, worker, (6121, 6122)),
        (worker, worker, (6121,)),
        (server, manager, (8081,)),
        (worker, server, (8098, 8099)),
    ):
        yield from (Flow(source, target, port) for port in ports)
    for step in steps:
        yield from (Flow(step, server, port) for port in (8098, 8099))
    for target in flink:
        yield Flow(stranger, target, 8081, wanted=False)
    yield Flow(worker, STORE, 443, wanted=False)


def _artifacts(world: World, storage: End, stranger: End) -> Iterator[Flow]:
    """In a profile KFP's artifact server stands in the namespace, which is closed by default."""
    label = "app.kubernetes.io/part-of"
    namespace = world.named("Namespace", world.home)
    if (namespace or {"metadata": {}})["metadata"].get("labels", {}).get(
        label
    ) != "kubeflow-profile":
        return
    server = End("KFP's artifact server", world.home, {"app": "ml-pipeline-ui-artifact"})
    frontend = End("KFP's frontend", "kubeflow", {"app": "ml-pipeline-ui"}, _KUBE)
    yield Flow(frontend, server, 3000)
    yield Flow(server, End("KFP's SeaweedFS", "kubeflow", {"app": "seaweedfs"}, _KUBE), 8333)
    yield Flow(server, storage, 9000)
    yield Flow(server, STORE, 443)
    yield Flow(stranger, server, 3000, wanted=False)


def _storage_ports(world: World) -> set[int]:
    """Of object storage outside beside 443: what the component ``storage-port`` opens."""
    policy = world.named("NetworkPolicy", "storage-port", world.home) or {}
    rules = (policy.get("spec") or {}).get("egress") or ()
    found = {port.get("port") for rule in rules for port in rule.get("ports") or ()}
    return {port for port in found if isinstance(port, int)} - {443}


def _identity(world: World) -> bool:
    """Whether the installation opens a cloud's own address for keyless access, and says so."""
    policy = world.named("NetworkPolicy", "cloud-identity")
    return policy is not None and "169.254.169.254" in str(policy)


def _group(maker: str, labels: dict[str, str]) -> str:
    name = labels.get("app.kubernetes.io/name", "")
    if maker == "kfp":
        return "step"
    if maker == "trainer":
        return "node"
    if maker == "kserve":
        return labels.get("app.kubernetes.io/component", "")
    return {"hemix-redis": "redis", "hemix-flink": "flink"}.get(name, name)
