"""What is no one's to choose: fields of our objects that programs count on, as they are shipped.

``shipped.yaml`` beside this file holds them, object by object, with every value that an overlay or a
kind of deployment settings gives them; ``?`` behind a field: some have it not. Sizes, numbers of pods,
names of nodes and the like are left out (``_CHOSEN``): rules of their own judge those. Whoever changes
a manifest of ours writes the file anew:

    python -m hemix.infra.check.frozen
"""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from hemix.infra.check.objects import LOADER
from hemix.infra.check.rules.own import file, own
from hemix.infra.check.rules.world import HOME, World, title_of

Manifest = dict[str, Any]
FILE = Path(__file__).with_name("shipped.yaml")
_DEPLOYMENT, _COMPONENT = "hemix/deployment", "app.kubernetes.io/component"
_NAMES = ("mountPath", "alert", "record", "name", "key", "targetLabel", "containerPort", "prefix")
"""By which an element of a list is known again, whatever stands before it."""
_VERSION = re.compile(r"\b\d{8}-[0-9a-f]{8}\b")
_SUFFIX = re.compile(r"-(?=[a-z]*[0-9])[a-z0-9]{10}\b")
"""Of the names that kustomize and ``hemix deploy`` make of contents."""
_FLINK = "config.yaml"
_NUMBER = re.compile(r"(?<![\w\[:.$\"])\d+(\.\d+)?(?![\w\]\".])")
_HOLDERS = re.compile(r"NAMESPACE|DEPLOYMENT")
"""In place of names that are the user's."""
_KINDS = ("NetworkPolicy", "Role", "ResourceQuota", "LimitRange", "Gateway", "ServiceAccount")
"""Every line of theirs is weighed by a rule."""
_CHOSEN = re.compile(
    r"^(apiVersion|kind|metadata/(name|namespace|annotations/.*|labels/(release|hemix/version)))$"
    r"|^data/|^config\.yaml/(.*/memory/|env/|parallelism|state|execution|heartbeat|akka|pekko)|^metadata/labels/pod-security.*-version$|/metadata/annotations/"
    r"|/image(PullPolicy|PullSecrets.*)?$|/(nodeSelector|tolerations|affinity|topologySpreadConstraints)\b"
    r"|/(priorityClassName|claimName|terminationMessage\w+)$|/ephemeral\b"
    r"|[rR]eplicas$|Replica(s|Count)$|Seconds$|Threshold$|Limit$|/(pollingInterval|cooldownPeriod)$"
    r"|/resources(PerNode)?\b|/(storage|storageClassName|accessModes|volumeMode)$|volumes\[\w+\]/emptyDir"
    r"|/(runAsUser|runAsGroup|fsGroup|fsGroupChangePolicy|supplementalGroups)$"
    r"|^spec/(hostnames|parentRefs|rules\[\d+\]/(matches|timeouts|backendRefs.*/weight|filters))"
    r"|/(for|keep_firing_for|severity|summary|description|runbook|interval|scrapeTimeout)$"
    r"|/(maxUnavailable|minAvailable|maxSurge|maxSkew|fallback|scaleMetric|scaleTarget|trafficPercent)\b"
    r"|triggers\[\d+\]/metadata/(threshold|value|activation\w+|serverAddress)$|/prometheus\.io/\w+$"
    r"|/env\[[^\]]*\]/value$|secretKeyRef/name$|configMapKeyRef/name$|/canary\b"
    r"|/(storageUri|storageContainerName|timeout|numNodes|numProcPerNode|maxRestarts|expirationSeconds)$"
    r"|containers\[(kserve-container|jobserver|taskmanager|workers)\]/args$|^spec/trainer/args$"
)
"""What an installation chooses, within what other rules say."""
_USUAL = {
    "protocol": "TCP", "scheme": "HTTP", "dnsPolicy": "ClusterFirst", "restartPolicy": "Always",
    "sessionAffinity": "None", "optional": False, "podManagementPolicy": "OrderedReady",
    "type": "ClusterIP", "group": "", "readOnly": False, "schedulerName": "default-scheduler",
    "internalTrafficPolicy": "Cluster", "ipFamilyPolicy": "SingleStack", "privileged": False,
    "hostNetwork": False, "hostPID": False, "hostIPC": False, "shareProcessNamespace": False,
    "defaultMode": 420, "kind": "Deployment", "apiVersion": "v1", "weight": 1, "stdin": False,
    "updateStrategy/type": "RollingUpdate", "strategy/type": "RollingUpdate", "suspend": False,
    "publishNotReadyAddresses": False, "autoSelect": False, "disabled": False,
}  # fmt: skip
"""What Kubernetes takes when nothing is said: to say it is no difference."""
Found = dict[str, list[Any]]


def problems(world: World) -> Iterator[str]:
    """Fields that differ from every value that we ship them with, and are not said to be meant so."""
    known = shipped()
    meant = set(own().changed)
    for manifest in world.manifests:
        title, wanted = title_of(manifest), known.get(key_of(manifest))
        if wanted is None:
            continue
        for path, told in _differ(manifest, wanted, world.home):
            field = path.replace("/", ".")
            if f"{title} {field}" not in meant:
                yield f"{title}: {field} {told}; if you mean it so, name '{title} {field}' under changed in {file()}"


def _differ(manifest: Manifest, wanted: Found, home: str) -> Iterator[tuple[str, str]]:
    found = list(fields(manifest, home))
    stands = {path for path, _, _ in found}
    roots = {part for path in wanted for part in _above(path.rstrip("?"))}
    for path, value, forms in found:
        allowed = wanted.get(path, wanted.get(f"{path}?"))
        if allowed is not None:
            if not forms & {json.dumps(one) for one in allowed}:
                plain = [one for one in allowed if not _HOLDERS.search(str(one))] or allowed
                said = " or ".join(json.dumps(one) for one in plain[:3])
                yield path, f"is {json.dumps(value)} and must be {said}"
        elif _usual(path, value) or "labels/" in path or path.endswith("]"):
            continue
        elif all(entry in roots for entry in _entries(path)):
            yield path, f"is {json.dumps(value)}, and nothing is said there as shipped: take it out"
    for path, allowed in wanted.items():
        if path.endswith("?") or path in stands or _usual(path, allowed[0]):
            continue
        if any(part in path for part in ("[",)) and not _inside(path, stands):
            yield (
                path,
                f"is missing and must be {json.dumps(allowed[0])}: its whole entry is not there",
            )
        else:
            yield path, f"is missing and must be {json.dumps(allowed[0])}"


def _above(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _entries(path: str) -> Iterator[str]:
    """The elements of lists that a field lies in."""
    yield from (path[: match.end()] for match in re.finditer(r"\]", path))


def _inside(path: str, stands: set[str]) -> bool:
    entry = path[: path.rindex("]") + 1]
    return any(one.startswith(entry) for one in stands)


def _usual(path: str, value: Any) -> bool:
    two = "/".join(path.split("/")[-2:])
    last = path.rpartition("/")[2]
    return value in ({}, [], None) or (two in _USUAL and _USUAL[two] == value) or (
        last in _USUAL and _USUAL[last] == value
    )  # fmt: skip


@functools.cache
def shipped() -> dict[str, Found]:
    """The file: object -> field -> its values."""
    found: dict[str, Found] = yaml.load(FILE.read_text(), Loader=LOADER)
    return found


# ---- what an object says ------------------------------------------------------------------------


def key_of(manifest: Manifest) -> str:
    """Under what an object stands in the file: what is made for a deployment goes by its part."""
    labels = manifest["metadata"].get("labels") or {}
    if manifest["kind"] == "TrainJob":
        return "TrainJob"
    if labels.get(_DEPLOYMENT):
        return f"{manifest['kind']} of the {labels.get(_COMPONENT)}"
    return _SUFFIX.sub("", title_of(manifest))


def fields(manifest: Manifest, home: str = HOME) -> Iterator[tuple[str, Any, set[str]]]:
    """``(path, value, the forms by which it is compared)`` of all that no one chooses."""
    deployment = (manifest["metadata"].get("labels") or {}).get(_DEPLOYMENT)
    if manifest["kind"] in _KINDS:
        return
    written = _leaves(manifest)
    if "jobmanager" in str((manifest.get("data") or {}).get(_FLINK, "")):
        written = itertools.chain(written, _leaves(_read(manifest["data"][_FLINK]), _FLINK))
    for path, value in written:
        if not _chosen(path):
            if path.endswith("/metadata/query"):  # how long it looks back is chosen
                value = re.sub(r"\[\w+\]", "[1m]", str(value))
            yield (
                _plain(path, deployment),
                value,
                {json.dumps(one) for one in _forms(value, deployment, home)},
            )


def _read(text: Any) -> Any:
    try:
        return yaml.load(str(text), Loader=LOADER)
    except yaml.YAMLError:
        return {}  # said where files are read


@functools.lru_cache(maxsize=8192)
def _chosen(path: str) -> bool:
    return _CHOSEN.search(path) is not None


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from _leaves(child, f"{path}/{key}" if path else str(key))
    elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        for number, one in enumerate(value):
            names = (str(one[key]) for key in _NAMES if isinstance(one.get(key), str | int))
            yield from _leaves(one, f"{path}[{next(names, number)}]")
    else:
        yield path, value


def _plain(text: str, deployment: Any) -> str:
    """Without what a version, a content or a deployment's name makes of it."""
    text = _SUFFIX.sub("", _VERSION.sub("VERSION", text))
    return re.sub(rf"\b{re.escape(str(deployment))}\b", "DEPLOYMENT", text) if deployment else text


def _forms(value: Any, deployment: Any, home: str) -> Iterator[Any]:
    """As it stands, and by what it means: a namespace's or deployment's name is the user's."""
    if not isinstance(value, str):
        yield value
        return
    text = " ".join(_NUMBER.sub("N", value).split()) if "(" in value or ":" in value else value
    text = _SUFFIX.sub("", _VERSION.sub("VERSION", text))
    yield text
    yield _plain(re.sub(rf"\b{re.escape(home)}\b", "NAMESPACE", text), deployment)
    yield _plain(text, deployment)


def frozen(sets: Iterable[Iterable[Manifest]]) -> dict[str, Found]:
    """What the file says of all these objects, set by set."""
    found: dict[str, dict[str, set[str]]] = {}
    count: dict[str, int] = {}
    times: dict[tuple[str, str], int] = {}
    for manifests in sets:
        for manifest in manifests:
            key = key_of(manifest)
            count[key] = count.get(key, 0) + 1
            for path, _, forms in fields(manifest):
                found.setdefault(key, {}).setdefault(path, set()).update(forms)
                times[key, path] = times.get((key, path), 0) + 1
    return {
        key: {
            path + ("" if times[key, path] == count[key] else "?"): [
                json.loads(one) for one in sorted(values)
            ]
            for path, values in sorted(paths.items())
        }
        for key, paths in sorted(found.items())
    }
