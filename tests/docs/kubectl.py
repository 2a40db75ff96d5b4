"""What a kubectl command of a page names, looked for in an installation as it is rendered.

kubectl itself knows its verbs and options, not whether there is a ConfigMap of that name, a pod with
these labels, a policy that looks for the label. What is not understood here is refused.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from hemix.infra.check.rules.named_by_pods import secrets
from hemix.infra.check.rules.world import Pod, World
from tests.docs.pages import PLACEHOLDERS, ROOT, filled, unknown

KINDS = {
    "configmap": "ConfigMap",
    "deploy": "Deployment",
    "deployment": "Deployment",
    "inferenceservice": "InferenceService",
    "namespace": "Namespace",
    "pod": "Pod",
    "quota": "ResourceQuota",
    "secret": "Secret",
    "statefulset": "StatefulSet",
}
"""kubectl's word, in the singular, for a kind."""
OTHERS = {
    ("kubeflow", "Deployment", "ml-pipeline-scheduledworkflow"),
    ("kubeflow", "Deployment", "workflow-controller"),
    *(("", "Namespace", PLACEHOLDERS[name]) for name in PLACEHOLDERS if "-NAMESPACE" in name),
}
"""Of Kubeflow Pipelines 2.17 and the cluster's own: nothing here renders them."""
ANNOTATIONS = {"serving.kserve.io/s3-endpoint", "serving.kserve.io/s3-usehttps"}
"""Of a Secret: those that KServe's storage initializer reads and the pages speak of."""
FIELDS = {"status.phase": {"Pending", "Running", "Succeeded", "Failed", "Unknown"}}
"""Fields by which a server chooses pods, with what may stand in them."""
_VARIABLES = frozenset(name for keys in secrets().values() for name in keys if name.isupper())


def problems(command: str, world: World) -> list[str]:
    """What the command names and the installation does not have."""
    words = [word for word in shlex.split(command)[1:] if word != "..."]
    if strange := [name for word in words for name in unknown(word, _VARIABLES)]:
        return [f"nobody knows what to put for {', '.join(strange)} (tests/docs/pages.py)"]
    try:
        said = _PARSER.parse_intermixed_args([filled(word) for word in words])
    except argparse.ArgumentError as error:
        return [f"nobody checks this: {error}"]
    verb, *rest = said.words
    check = _VERBS.get(verb)
    return [f"nobody checks kubectl {verb}"] if check is None else list(check(world, said, rest))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise argparse.ArgumentError(None, message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("words", nargs="+")
    for name in ("-n", "-l", "-c", "-f", "-k", "--field-selector", "--tail"):
        parser.add_argument(name)
    parser.add_argument("-o", choices=("yaml", "json", "wide", "name"))
    for name in ("--server-side", "--force-conflicts"):
        parser.add_argument(name, action="store_true")
    for name in ("--from-literal", "--from-file"):
        parser.add_argument(name, action="append", default=[])
    for name in ("--cert", "--key", "--docker-server", "--docker-username", "--docker-password"):
        parser.add_argument(name)
    return parser


_PARSER = _parser()


def _looked_at(world: World, said: Any, rest: Sequence[str]) -> Iterator[str]:
    """``get``, ``describe``, ``edit``: KINDS, KINDS NAME, KIND/NAME."""
    if not rest:
        yield "no kind is named"
        return
    if "/" in rest[0]:
        named = [tuple(word.split("/", 1)) for word in rest]
    else:
        kinds, names = rest[0].split(","), rest[1:]
        named = [(kind, name) for kind in kinds for name in names or [""]]
    for kind, name in named:
        yield from _object(world, said.n, kind, name)
    yield from _chosen(world, said)


def _logs(world: World, said: Any, rest: Sequence[str]) -> Iterator[str]:
    for word in rest:
        kind, _, name = word.rpartition("/")
        yield from _object(world, said.n, kind or "pod", name)
    if not rest and not said.l:
        yield "logs of nothing"
    yield from _chosen(world, said)


def _rollout(world: World, said: Any, rest: Sequence[str]) -> Iterator[str]:
    if rest[0] != "restart":
        yield f"nobody checks kubectl rollout {rest[0]}"
    yield from _looked_at(world, said, rest[1:])


def _noted(world: World, said: Any, rest: Sequence[str]) -> Iterator[str]:
    """``label`` and ``annotate``: KIND NAME KEY=VALUE; somebody must look for it."""
    kind, name, *pairs = rest
    yield from _object(world, said.n, kind, name)
    for pair in pairs:
        key, _, value = pair.partition("=")
        if said.words[0] == "annotate":
            if key not in ANNOTATIONS:
                yield f"nobody reads the annotation {key}"
        elif (key, value) not in set(namespace_labels(world)):
            yield f"no policy looks for the label {pair}"


def _create(world: World, said: Any, rest: Sequence[str]) -> Iterator[str]:
    """``create secret TYPE NAME``: with exactly the keys that are read."""
    made, kind, name = rest
    if made != "secret":
        yield f"nobody checks kubectl create {made}"
        return
    given = {
        "generic": {text.partition("=")[0] for text in (*said.from_literal, *said.from_file)},
        "docker-registry": {".dockerconfigjson"},
        "tls": {"tls.crt", "tls.key"},
    }[kind]
    yield from _object(world, said.n, "secret", name)
    if name in secrets() and given != secrets()[name]:
        yield f"Secret {name} has the keys {sorted(secrets()[name])}, not {sorted(given)}"


def _apply(world: World, said: Any, rest: Sequence[str]) -> Iterator[str]:
    """Whether it is there; what it renders to is for the checker."""
    if said.f and not (ROOT / said.f).is_file():
        yield f"there is no file {said.f}"
    if said.k and not (ROOT / said.k / "kustomization.yaml").is_file():
        yield f"{said.k} is nothing for kustomize"
    if rest or not (said.f or said.k):
        yield "nothing is applied"


_VERBS: dict[str, Callable[[World, Any, Sequence[str]], Iterator[str]]] = {
    "annotate": _noted,
    "apply": _apply,
    "create": _create,
    "describe": _looked_at,
    "edit": _looked_at,
    "get": _looked_at,
    "label": _noted,
    "logs": _logs,
    "rollout": _rollout,
}


def _object(world: World, namespace: str | None, word: str, name: str) -> Iterator[str]:
    kind = KINDS.get(word) or KINDS.get(word.removesuffix("s"))
    if kind is None:
        yield f"nobody knows the kind {word} (tests/docs/kubectl.py)"
    elif (namespace or "", kind, name) in OTHERS:
        return
    elif namespace != world.home:
        yield f"there is no {kind} {name} of ours in namespace {namespace}"
    elif kind == "Secret":
        if name not in secrets():
            yield f"nothing reads a Secret {name}"
    elif kind == "Pod":
        if name:
            yield f"pods are named by the cluster, not {name}"
    elif name and world.named(kind, name, namespace) is None:
        yield f"there is no {kind} {name} in {namespace}"
    elif not list(world.of(kind)):
        yield f"there is no {kind} in {namespace}"


def _chosen(world: World, said: Any) -> Iterator[str]:
    """Pods by labels or a field, and a container of theirs."""
    pods: list[Pod] = [pod for pod in world.pods if pod.namespace == said.n]
    if said.l:
        wanted = dict(pair.split("=", 1) for pair in said.l.split(","))
        pods = [pod for pod in pods if wanted.items() <= pod.labels.items()]
        if not pods:
            yield f"no pod has the labels {said.l}"
    for pod in pods if said.c else ():
        if said.c not in [container["name"] for container in pod.spec["containers"]]:
            yield f"{pod.title} has no container {said.c}"
    if said.field_selector:
        key, _, value = said.field_selector.partition("=")
        if value not in FIELDS.get(key, ()):
            yield f"no pod is ever {said.field_selector}"


def namespace_labels(world: World) -> Iterator[tuple[str, str]]:
    """Labels by which policies know namespaces."""
    for manifest in world.of("NetworkPolicy"):
        for side in ("ingress", "egress"):
            for rule in manifest["spec"].get(side) or ():
                for peer in (*(rule.get("from") or ()), *(rule.get("to") or ())):
                    yield from (
                        (peer.get("namespaceSelector") or {}).get("matchLabels") or {}
                    ).items()
