"""Whether the account that deploys may do what ``hemix deploy`` does: no more names, no fewer verbs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hemix.infra.check.objects import Manifest, Object

ACCOUNT = "hemix-deployer"
MEND = "add it to the Role hemix-deployer, which the RoleBinding hemix-deployer gives it (rbac-deployer.yaml)"
_NAMED = ("get", "patch", "delete")
"""A rule may hold these to names; what is made (server-side apply of a new object) or listed it cannot."""
_UNNAMED = ("create", "list")


def problems(overlay: Sequence[Object], applied: Sequence[Object]) -> list[str]:
    """What ``hemix deploy`` would be refused, with the roles of an overlay.

    Args:
        overlay: an overlay's objects.
        applied: what is applied, read and removed.
    """
    rules = list(_rules(overlay))
    wanted: dict[tuple[str, str], set[str]] = {}
    for item in applied:
        wanted.setdefault(_resource(item.manifest), set()).add(item.manifest["metadata"]["name"])
    found = []
    for (group, resource), names in sorted(wanted.items()):
        own = [r for r in rules if group in r["apiGroups"] and resource in r["resources"]]
        for verb in _UNNAMED:
            if not any(verb in r["verbs"] and not r.get("resourceNames") for r in own):
                found.append(f"{ACCOUNT} may not {verb} {resource}: {MEND}")
        for verb in _NAMED:
            for name in sorted(names):
                known = [r.get("resourceNames") for r in own if verb in r["verbs"]]
                if not any(not some or name in some for some in known):
                    found.append(f"{ACCOUNT} may not {verb} {resource} {name}: {MEND}")
    return found


def _rules(overlay: Sequence[Object]) -> Iterator[Manifest]:
    """Of every role that is bound to the account."""
    manifests = [item.manifest for item in overlay]
    bound = {
        (m["roleRef"]["kind"], m["roleRef"]["name"])
        for m in manifests
        if m["kind"] in ("RoleBinding", "ClusterRoleBinding")
        and any(subject["name"] == ACCOUNT for subject in m.get("subjects") or ())
    }
    for manifest in manifests:
        if (manifest["kind"], manifest["metadata"]["name"]) in bound:
            yield from manifest["rules"]


def _resource(manifest: Manifest) -> tuple[str, str]:
    """API group and plural: ``("", "configmaps")``."""
    return manifest["apiVersion"].rpartition("/")[0], manifest["kind"].lower() + "s"
