"""Doors that are wider than they need be: policies that name more than they mean, rights that no code uses."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from hemix.infra.check.rules.accounts import DEPLOYS, RUNS
from hemix.infra.check.rules.own import mend, own
from hemix.infra.check.rules.world import World, title_of

Manifest = dict[str, Any]
_ALL_PODS = ("default-deny", "dns")
"""Policies that are meant for every pod of the namespace."""
_METADATA = ipaddress.ip_address("169.254.169.254")
_STORAGE = {"hemix/storage": "true"}
_NAMED = {"configmaps", "secrets"}
_NAMED_VERBS = {"get", "patch", "delete", "update"}


def problems(world: World) -> Iterator[str]:
    """Openings and rights that nothing needs."""
    for manifest in world.of("NetworkPolicy"):
        yield from (f"{title_of(manifest)}: {problem}" for problem in _policy(manifest))
    known = {(r.verb, r.group, r.resource) for r in (*RUNS, *DEPLOYS)}
    for manifest in world.of("Role"):
        yield from (f"{title_of(manifest)}: {problem}" for problem in _role(manifest, known))


def _policy(manifest: Manifest) -> Iterator[str]:
    spec = manifest.get("spec") or {}
    if not spec.get("policyTypes"):
        yield "policyTypes: does not say which directions it is for"
    own = spec.get("podSelector") or {}
    empty = not (own.get("matchLabels") or own.get("matchExpressions"))
    if empty and manifest["metadata"].get("name") not in _ALL_PODS:
        yield "podSelector: means every pod of the namespace"
    for side, peers in (("ingress", "from"), ("egress", "to")):
        for number, rule in enumerate(spec.get(side) or ()):
            at = f"{side}[{number}]"
            ports = rule.get("ports") or ()
            near = all(_like(peer, own) for peer in rule.get(peers) or ())
            if not ports and not near:
                yield f"{at}: all ports are open"
            for port in ports:
                if not port or "port" not in port:
                    yield f"{at}: all ports of {(port or {}).get('protocol', 'TCP')} are open"
                elif (
                    isinstance(port.get("endPort"), int) and port["endPort"] - int(port["port"]) > 9
                ):
                    yield f"{at}: {port['endPort'] - int(port['port']) + 1} ports are open"
            for peer in rule.get(peers) or ():
                for key in ("podSelector", "namespaceSelector"):
                    inner = peer.get(key)
                    if inner is not None and not (
                        inner.get("matchLabels") or inner.get("matchExpressions")
                    ):
                        yield f"{at}: its {key} means everyone"
                if side == "ingress" and "ipBlock" in peer:
                    yield f"{at}: lets addresses in, whoever has them"
                address = (peer.get("ipBlock") or {}).get("cidr")
                if address and _metadata(peer["ipBlock"]):
                    yield f"{at}: ipBlock {address} holds the node's metadata address 169.254.169.254, which hands out the node's keys: except: [169.254.0.0/16], or one address"
                block = str((peer.get("ipBlock") or {}).get("cidr", ""))
                if block.startswith("::/0"):
                    yield f"{at}: {block}"


def _metadata(block: Manifest) -> bool:
    try:
        network = ipaddress.ip_network(str(block["cidr"]))
        left = [ipaddress.ip_network(str(one)) for one in block.get("except") or ()]
    except ValueError:
        return False  # said where policies are looked at by themselves
    if network.num_addresses == 1 or _METADATA not in network:
        return False
    return not any(_METADATA in one for one in left)


def _like(peer: Manifest, own: Manifest) -> bool:
    """Pods of one program among themselves, or a store that stands in the cluster."""
    space = (peer.get("namespaceSelector") or {}).get("matchLabels")
    return (peer.get("podSelector") == own and "namespaceSelector" not in peer) or space == _STORAGE


def _role(manifest: Manifest, known: set[tuple[str, str, str]]) -> Iterator[str]:
    if not manifest.get("rules"):
        yield "rules: gives no right at all"
    for number, rule in enumerate(manifest.get("rules") or ()):
        at = f"rules[{number}]"
        for resource in rule.get("resources") or ():
            for verb in rule.get("verbs") or ():
                for group in rule.get("apiGroups") or ():
                    # Whoever may list may see each one, now and as it changes.
                    asked = {verb, "list"} if verb in ("get", "watch") else {verb}
                    said = f"{verb} {resource}.{group}" if group else f"{verb} {resource}"
                    needed = any((one, group, resource) in known for one in asked)
                    if not needed and said not in own().rights:
                        yield f"{at}: {verb} {resource} of {group or 'core'}: no code of ours asks for that; {mend('rights', 'the code')}"
            held = rule.get("resourceNames")
            if resource in _NAMED and not held and _NAMED_VERBS & set(rule.get("verbs") or ()):
                yield f"{at}: reaches every one of the {resource} there are (resourceNames)"
