"""Services and NetworkPolicies by themselves."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from hemix.infra.check.rules.values import (
    LABEL_1035,
    PORT_NAME,
    doubles,
    is_port,
    labels,
    network,
    one_of,
    selector,
)

Manifest = dict[str, Any]
_PROTOCOLS = ("TCP", "UDP", "SCTP")


def problems(manifest: Manifest) -> Iterator[str]:
    """What holds for a Service or a NetworkPolicy."""
    spec = manifest.get("spec") or {}
    if manifest.get("kind") == "Service":
        yield from _service(manifest, spec)
    elif manifest.get("kind") == "NetworkPolicy":
        yield from _policy(spec)


def _service(manifest: Manifest, spec: Manifest) -> Iterator[str]:
    if not LABEL_1035.match(str(manifest["metadata"].get("name", ""))):
        yield f"metadata.name: {manifest['metadata'].get('name')!r} is no Service's name"
    kind = spec.get("type", "ClusterIP")
    yield from one_of("spec.type", kind, ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"))
    yield from labels("spec.selector", spec.get("selector"))
    yield from one_of("spec.sessionAffinity", spec.get("sessionAffinity"), ("None", "ClientIP"))
    for key in ("internalTrafficPolicy", "externalTrafficPolicy"):
        yield from one_of(f"spec.{key}", spec.get(key), ("Cluster", "Local"))
    yield from one_of(
        "spec.ipFamilyPolicy",
        spec.get("ipFamilyPolicy"),
        ("SingleStack", "PreferDualStack", "RequireDualStack"),
    )
    address = spec.get("clusterIP")
    if address not in (None, "", "None"):
        try:
            ipaddress.ip_address(str(address))
        except ValueError:
            yield f"spec.clusterIP: {address!r} is no address"
    if kind == "ExternalName":
        if not spec.get("externalName"):
            yield "spec.externalName: is missing"
        return
    ports = spec.get("ports") or ()
    if not ports and address != "None":
        yield "spec.ports: is empty"
    for number, port in enumerate(ports):
        at = f"spec.ports[{number}]"
        if not is_port(port.get("port")):
            yield f"{at}: port {port.get('port')!r} is not in 1..65535"
        target = port.get("targetPort", port.get("port"))
        if isinstance(target, str) and not PORT_NAME.match(target):
            yield f"{at}: targetPort {target!r} is no port's name"
        if not isinstance(target, str) and not is_port(target):
            yield f"{at}: targetPort {target!r} is not in 1..65535"
        yield from one_of(f"{at}.protocol", port.get("protocol"), _PROTOCOLS)
        if len(ports) > 1 and not port.get("name"):
            yield f"{at}: one of several ports needs a name"
        if "name" in port and not LABEL_1035.match(str(port["name"])):
            yield f"{at}: {port['name']!r} is no port's name"
        if port.get("nodePort") and kind not in ("NodePort", "LoadBalancer"):
            yield f"{at}: nodePort of a {kind}"
    yield from doubles("spec.ports", "the name", [p["name"] for p in ports if p.get("name")])
    pairs = [(p.get("port"), p.get("protocol", "TCP")) for p in ports]
    yield from doubles("spec.ports", "port", pairs)


def _policy(spec: Manifest) -> Iterator[str]:
    if "podSelector" not in spec:
        yield "spec.podSelector: is missing"
    yield from selector("spec.podSelector", spec.get("podSelector"))
    types = spec.get("policyTypes") or ()
    for kind in types:
        yield from one_of("spec.policyTypes", kind, ("Ingress", "Egress"))
    yield from doubles("spec.policyTypes", "type", types)
    for side, peers, kind in (("ingress", "from", "Ingress"), ("egress", "to", "Egress")):
        if spec.get(side) and types and kind not in types:
            yield f"spec.{side}: rules that policyTypes leaves out"
        for number, rule in enumerate(spec.get(side) or ()):
            at = f"spec.{side}[{number}]"
            for key in set(rule) - {peers, "ports"}:
                yield f"{at}: {key} belongs to the other side"
            for port in rule.get("ports") or ():
                yield from _port(at, port)
            for peer in rule.get(peers) or ():
                yield from _peer(f"{at}.{peers}", peer)


def _port(at: str, port: Manifest) -> Iterator[str]:
    yield from one_of(f"{at}.protocol", port.get("protocol"), _PROTOCOLS)
    number, end = port.get("port"), port.get("endPort")
    if isinstance(number, str):
        if not PORT_NAME.match(number):
            yield f"{at}: {number!r} is no port's name"
    elif number is not None and not is_port(number):
        yield f"{at}: port {number!r} is not in 1..65535"
    if end is not None and (not is_port(number) or not is_port(end) or end < number):
        yield f"{at}: endPort {end!r} after port {number!r}"


def _peer(at: str, peer: Manifest) -> Iterator[str]:
    kinds = {"ipBlock", "podSelector", "namespaceSelector"} & set(peer)
    if not kinds:
        yield f"{at}: names no one"
    if "ipBlock" in kinds and len(kinds) > 1:
        yield f"{at}: ipBlock stands alone"
    for key in ("podSelector", "namespaceSelector"):
        yield from selector(f"{at}.{key}", peer.get(key))
    block = peer.get("ipBlock")
    if block is None:
        return
    yield from network(f"{at}.ipBlock", block.get("cidr"))
    for inner in block.get("except") or ():
        yield from network(f"{at}.ipBlock.except", inner)
        try:
            whole, part = ipaddress.ip_network(block["cidr"]), ipaddress.ip_network(inner)
            if whole.version != part.version or not part.subnet_of(whole) or part == whole:  # type: ignore[arg-type]
                yield f"{at}.ipBlock.except: {inner} is not within {block['cidr']}"
        except (ValueError, KeyError):
            continue  # said above
