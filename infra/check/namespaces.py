"""What the objects of an overlay must be together: references that lead somewhere, doors that close."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hemix.infra.check.objects import OTHERS, Manifest, Object

REAL_USERS = ("prod", "production", "multi-user", "single-user")
"""Overlays of these names, and those whose folder has one of them in its name."""


def problems(objects: Sequence[Object]) -> list[str]:
    """What is wrong with one overlay as a whole."""
    manifests = [item.manifest for item in objects]
    found = [*_namespace(manifests), *_network(manifests), *_bindings(manifests)]
    found += _gateways(objects)
    for manifest in manifests:
        if manifest["kind"] == "Secret":
            found.append(
                f"Secret {manifest['metadata']['name']}: secrets stay out of the repository"
            )
    return found


def _named(manifests: Sequence[Manifest], kind: str) -> set[str]:
    return {m["metadata"]["name"] for m in manifests if m["kind"] == kind}


def _namespace(manifests: Sequence[Manifest]) -> list[str]:
    spaces = {m["metadata"]["name"]: m for m in manifests if m["kind"] == "Namespace"}
    found = []
    for name, manifest in spaces.items():
        labels = manifest["metadata"].get("labels") or {}
        if labels.get("pod-security.kubernetes.io/enforce") != "restricted":
            found.append(f"Namespace {name}: does not enforce Pod Security `restricted`")
    for kind in ("ResourceQuota", "LimitRange"):
        if not _named(manifests, kind):
            found.append(f"no {kind}")
    for manifest in manifests:
        space = manifest["metadata"].get("namespace")
        if space is not None and space not in {*spaces, *OTHERS}:
            title = f"{manifest['kind']} {manifest['metadata']['name']}"
            found.append(f"{title}: its namespace {space} is not among the objects")
    return found


def _gateways(objects: Sequence[Object]) -> list[str]:
    """In overlays for real users they come in by HTTPS."""
    found = []
    for item in objects:
        words = set(re.split(r"[^a-z0-9-]", item.source))
        if item.manifest["kind"] != "Gateway" or not words & set(REAL_USERS):
            continue
        listeners = item.manifest["spec"].get("listeners") or ()
        if not any(one.get("protocol") in ("HTTPS", "TLS") for one in listeners):
            found.append(
                f"{item.title}: spec.listeners: none is HTTPS, and {item.source} is for real users: "
                "the component tls brings one"
            )
    return found


def _network(manifests: Sequence[Manifest]) -> list[str]:
    policies = [m for m in manifests if m["kind"] == "NetworkPolicy"]
    closing = [
        p
        for p in policies
        if p["spec"].get("podSelector") == {}
        and sorted(p["spec"].get("policyTypes", ())) == ["Egress", "Ingress"]
        and not p["spec"].get("ingress")
        and not p["spec"].get("egress")
    ]
    found = [] if closing else ["no NetworkPolicy closes the namespace by default"]
    for policy in policies:
        for side, peers in (("ingress", "from"), ("egress", "to")):
            for rule in policy["spec"].get(side) or ():
                name = policy["metadata"]["name"]
                if not rule.get(peers):
                    found.append(f"NetworkPolicy {name}: {side} is open to everyone")
                if any(peer == {} or peer.get("podSelector") == {} for peer in rule.get(peers, ())):
                    found.append(f"NetworkPolicy {name}: {side} names no pods")
    return found


def _bindings(manifests: Sequence[Manifest]) -> list[str]:
    found = []
    for manifest in manifests:
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        if manifest["kind"] in ("Role", "ClusterRole"):
            for rule in manifest["rules"]:
                for key in ("apiGroups", "resources", "verbs"):
                    if "*" in rule.get(key, ()):
                        found.append(f"{name}: {key} says *")
                if "secrets" in rule.get("resources", ()) and not rule.get("resourceNames"):
                    found.append(f"{name}: may read every secret")
    return found
