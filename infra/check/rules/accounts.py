"""Rights: what each account's pods ask the API server for, as their code does it, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hemix.infra.check.rules.world import World, space_of

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Right:
    """One thing that an account must be able to do, and who does it."""

    verb: str
    group: str
    resource: str
    name: str = ""
    why: str = ""


def _rights(why: str, group: str, resource: str, verbs: str, name: str = "") -> list[Right]:
    return [Right(verb, group, resource, name, why) for verb in verbs.split()]


RUNS = (
    *_rights("Argo's executor reports results", "argoproj.io", "workflowtaskresults", "create patch"),
    *_rights("KFP's launcher reads its settings", "", "configmaps", "get", "kfp-launcher"),
    *_rights("KFP's launcher reads keys", "", "secrets", "get", "mlpipeline-minio-artifact"),
    *_rights("KFP's launcher reads keys", "", "secrets", "get", "hemix-storage"),
    *_rights("KFP's launcher reads its pod; train looks at its nodes", "", "pods", "get list"),
    *_rights("train makes a TrainJob", "trainer.kubeflow.org", "trainjobs",
             "create get list patch delete"),
    *_rights("Trainer reads the runtime for it", "trainer.kubeflow.org", "trainingruntimes", "get"),
    *_rights("trigger starts a run", "pipelines.kubeflow.org", "runs", "create get list"),
    *_rights("clean forgets runs that ended", "pipelines.kubeflow.org", "runs", "delete get list"),
    *_rights("clean removes TrainJobs that ended", "trainer.kubeflow.org", "trainjobs",
             "get list delete"),
    *_rights("trigger finds its pipeline", "pipelines.kubeflow.org", "pipelines", "get list"),
    *_rights("trigger finds its version", "pipelines.kubeflow.org", "pipelineversions", "get list"),
    *_rights("trigger finds its experiment", "pipelines.kubeflow.org", "experiments", "get list"),
)  # fmt: skip
DEPLOYS = (
    *_rights("deploy applies", "serving.kserve.io", "inferenceservices", "create delete get list patch"),
    *_rights("deploy applies", "serving.kserve.io", "servingruntimes", "create delete get list patch"),
    *_rights("deploy applies", "gateway.networking.k8s.io", "httproutes", "create delete get list patch"),
    *_rights("deploy applies", "keda.sh", "scaledobjects", "create delete get list patch"),
    *_rights("deploy applies", "policy", "poddisruptionbudgets", "create delete get list patch"),
    *_rights("deploy applies", "", "configmaps", "create list"),
    *_rights("deploy moves traffic", "", "configmaps", "get patch delete", "ranker-predictors"),
    *_rights("deploy looks at rollouts", "apps", "deployments", "get list"),
    *_rights("deploy looks why pods are late", "", "pods", "get list"),
    *_rights("deploy looks why pods are late", "", "events", "list"),
    *_rights("deploy asks who may mount a claim", "", "persistentvolumeclaims", "get"),
)  # fmt: skip
_NEVER = {"secrets": "every secret", "pods/exec": "other pods", "serviceaccounts/token": "tokens"}


def problems(world: World) -> Iterator[str]:
    """Rights that are missing where pods of an account run, and rights that nobody should have."""
    for space in {world.runs, world.home}:
        for account, rights in (
            ("hemix-pipeline", RUNS if space == world.runs else TRAINS),
            ("hemix-deployer", RUNS if space == world.runs else TRAINS),
            ("hemix-deployer", DEPLOYS if space == world.home else ()),
        ):
            rules = list(_rules(world, account, world.runs, space))
            for right in rights:
                if not any(_gives(rule, right) for rule in rules):
                    name = f" {right.name}" if right.name else ""
                    yield f"{account} may not {right.verb} {right.resource}{name} in {space} ({right.why}); {_mend(world, right, account, space)}"
    yield from _tokens(world)
    yield from _too_much(world)


TRAINS = tuple(right for right in RUNS if right.group in ("trainer.kubeflow.org",))
"""What runs do in the namespace of hemix when they stand in another one."""


def _mend(world: World, right: Right, account: str, space: str) -> str:
    """Which Role lacks the right, or which binding is not there."""
    role = "hemix-deployer" if right in DEPLOYS and right not in RUNS else "hemix-pipeline"
    bound = any(
        (binding.get("roleRef") or {}).get("name") == role and space_of(binding) == space
        and any(s.get("name") == account for s in binding.get("subjects") or ())
        for binding in world.of("RoleBinding")
    )  # fmt: skip
    if world.named("Role", role, space) is None:
        return f"there is no Role {role} in {space}"
    if not bound:
        return f"a RoleBinding in {space} must name roleRef Role {role} and the subject ServiceAccount {account} of {world.runs}"
    named = f", resourceNames {right.name}" if right.name else ""
    return f"add to Role {role} in {space}: apiGroups [{right.group!r}], resources [{right.resource}], verbs [{right.verb}]{named}; its RoleBinding must name ServiceAccount {account} of {world.runs}"


def _gives(rule: Manifest, right: Right) -> bool:
    names = rule.get("resourceNames") or ()
    return (
        right.group in (rule.get("apiGroups") or ())
        and right.resource in (rule.get("resources") or ())
        and right.verb in (rule.get("verbs") or ())
        and (not names or (bool(right.name) and right.name in names))
    )


def _rules(world: World, account: str, of: str, space: str) -> Iterator[Manifest]:
    """The rules that an account of namespace ``of`` has in ``space``."""
    for binding in (*world.of("RoleBinding"), *world.of("ClusterRoleBinding")):
        subjects = binding.get("subjects") or ()
        if not any(
            s.get("kind") == "ServiceAccount"
            and s.get("name") == account
            and s.get("namespace", space_of(binding)) == of
            for s in subjects
        ):
            continue
        role = binding.get("roleRef") or {}
        if binding["kind"] == "RoleBinding" and space_of(binding) != space:
            continue
        where = space if role.get("kind") == "Role" else None
        found = world.named(str(role.get("kind")), role.get("name"), where)
        if found is not None:
            yield from found.get("rules") or ()


def _tokens(world: World) -> Iterator[str]:
    """Accounts whose pods speak to the API server get a token; those that serve get none."""
    for manifest in world.of("ServiceAccount"):
        name = manifest["metadata"]["name"]
        token = manifest.get("automountServiceAccountToken", True)
        if name in ("hemix-serving", "hemix-tools") and token is not False:
            yield f"ServiceAccount {name}: its pods get a token they have no use for"
        if name in ("hemix-pipeline", "hemix-deployer") and token is False:
            yield f"ServiceAccount {name}: its pods get no token, and must speak to the API server"
    for pod in world.pods:
        silent = pod.spec.get("automountServiceAccountToken") is False
        if pod.maker not in ("kfp", "trainer") and not silent:
            yield f"{pod.title}: gets a token of the API server that it has no use for"


def _too_much(world: World) -> Iterator[str]:
    for manifest in (*world.of("Role"), *world.of("ClusterRole")):
        title = f"{manifest['kind']} {manifest['metadata']['name']}"
        for rule in manifest.get("rules") or ():
            for resource in rule.get("resources") or ():
                if resource in _NEVER and not rule.get("resourceNames"):
                    yield f"{title}: may reach {_NEVER[resource]}"
            if {"escalate", "bind", "impersonate"} & set(rule.get("verbs") or ()):
                yield f"{title}: may give itself rights"
        if manifest["kind"] == "ClusterRole":
            yield f"{title}: reaches every tenant of the cluster"
    for binding in world.of("ClusterRoleBinding"):
        yield f"ClusterRoleBinding {binding['metadata']['name']}: reaches every tenant of the cluster"
    for binding in world.of("RoleBinding"):
        for subject in binding.get("subjects") or ():
            if subject.get("kind") != "ServiceAccount":
                yield f"RoleBinding {binding['metadata']['name']}: gives rights to the {subject.get('kind')} {subject.get('name')}, and only service accounts of ours have any"
            elif subject.get("name") in ("hemix-serving", "hemix-tools", "default"):
                yield f"RoleBinding {binding['metadata']['name']}: {subject['name']} has no rights to have"
