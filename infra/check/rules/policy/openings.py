"""Addresses that policies open, one by one: link-local ones, and what is left out of a network."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from hemix.infra.check.rules.own import file, own
from hemix.infra.check.rules.world import World, title_of

Manifest = dict[str, Any]
LINK_LOCAL = ipaddress.ip_network("169.254.0.0/16")
_KNOWN = {
    "169.254.20.10/32": ({53}, "NodeLocal DNSCache"),
    "169.254.170.23/32": ({80}, "the agent of EKS Pod Identity"),
    "169.254.169.254/32": ({80}, "GKE's metadata server"),
    "169.254.169.252/32": ({987, 988}, "GKE's metadata server"),
}
"""Address -> its ports, and who answers there."""
_OF = {
    "cloud-identity": "169.254.170.23/32 (component eks-pod-identity), or 169.254.169.254/32 and 169.254.169.252/32 (gke-workload-identity)",
    "dns": "169.254.20.10/32 (NodeLocal DNSCache)",
}


def problems(world: World) -> Iterator[str]:
    """Addresses of a node that no one of ours asks, and networks of which too much or too little is left out."""
    for manifest in world.of("NetworkPolicy"):
        title, spec = title_of(manifest), manifest.get("spec") or {}
        for number, rule in enumerate(spec.get("egress") or ()):
            for place, peer in enumerate(rule.get("to") or ()):
                block = peer.get("ipBlock")
                if not block:
                    continue
                field = f"spec.egress[{number}].to[{place}].ipBlock"
                name = str(manifest["metadata"].get("name"))
                for path, said in (*_address(name, block, rule), *_left_out(block)):
                    meant = f"{title} {field}.{path}"
                    if meant not in own().changed:
                        yield f"{title}: {field}.{path} {said}; if you mean it so, name '{meant}' under changed in {file()}"


def _address(policy: str, block: Manifest, rule: Manifest) -> Iterator[tuple[str, str]]:
    cidr = str(block.get("cidr"))
    try:
        inside = ipaddress.ip_network(cidr).overlaps(LINK_LOCAL)
    except (ValueError, TypeError):
        return  # said where policies are looked at by themselves
    if policy == "cloud-identity" and cidr not in _KNOWN:
        yield "cidr", f"is {cidr}, where no cloud's agent answers: must be {_OF[policy]}"
    elif inside and cidr not in _KNOWN and not block.get("except"):
        yield (
            "cidr",
            f"is {cidr}, an address of the node: must be {_OF.get(policy, 'one that is known: ' + ', '.join(_KNOWN))}",
        )
    elif cidr in _KNOWN:
        ports, who = _KNOWN[cidr]
        found = {port.get("port") for port in rule.get("ports") or ()}
        if not found & ports:
            yield (
                "cidr",
                f"is {cidr}, and its rule opens {_said(found)}: {who} answers at {_said(ports)}",
            )


def _left_out(block: Manifest) -> Iterator[tuple[str, str]]:
    if str(block.get("cidr")) != "0.0.0.0/0":
        return
    found = [str(one) for one in block.get("except") or ()]
    if found != [str(LINK_LOCAL)]:
        yield (
            "except",
            f"is {found} and must be ['{LINK_LOCAL}']: addresses of the node stay closed, and object storage and the API server may be at any other",
        )


def _said(ports: Any) -> str:
    return ", ".join(sorted(str(port) for port in ports)) or "no port"
