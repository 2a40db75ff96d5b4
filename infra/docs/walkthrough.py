"""The walk-through: one night, one bad model, one way back, object by object, from what is rendered."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

from hemix.infra.check import sources, together
from hemix.infra.check.mistakes import site_of
from hemix.infra.check.rules import accounts, flows
from hemix.infra.check.rules.world import World
from hemix.pipelines.compiler.cluster_settings import ClusterSettings
from hemix.serving.kubernetes.manifests.render import render
from hemix.serving.kubernetes.manifests.settings import DeploymentSettings
from hemix.serving.registry.transitions import rollback

_NIGHT = (
    "plan", "ingest", "validate_data", "build_examples", "transform", "validate_features",
    "register_features", "train", "evaluate", "validate_model", "deploy", "report",
)  # fmt: skip
_INTRO = """# A walk through the cluster

One night, one bad model and one way back, object by object, so that you can go along with `kubectl`.
The tables are made from the manifests, settings and policies of this release, by the same code as
`make cluster-check`; what stands between them is told.

"""


def page() -> str:
    """Markdown."""
    if shutil.which("kubectl") is None:
        return f"{_INTRO}The tables need `kubectl`, which was not there when this page was made.\n"
    site = site_of("shipped")
    world = together.built(site.overlay, site.applied)
    parts = (_INTRO, *_night(world), *_bad_model(), *_back(world))
    return "\n".join(parts) + "\n"


# ---- one night ----------------------------------------------------------------------------------


def _night(world: World) -> Iterator[str]:
    settings = ClusterSettings.load()
    yield "## One night\n"
    yield (
        "At 03:00 KFP's schedule controller makes a run of `retraining` in the namespace of runs. The API "
        "server compiles the IR into an Argo Workflow; its first pod is a driver of KFP's own. Each "
        "step is a driver and a pod. Everything below has the account `hemix-deployer` when the "
        "schedule was made with `--service-account hemix-deployer`.\n"
    )
    yield "| # | pod | image | reads from Secrets | may take | all attempts within |"
    yield "|---|---|---|---|---|---|"
    for number, name in enumerate(_NIGHT, 1):
        step = settings.steps[name]
        secrets = sorted({settings.secrets[s].name for s in step.secrets})
        window = step.retries.window_s(step.timeout) if step.retries.count else step.timeout
        cells = (
            f"{number}", f"`{name}`", settings.image(name), ", ".join(secrets) or "none",
            _hours(step.timeout), _hours(window),
        )  # fmt: skip
        yield f"| {' | '.join(cells)} |"
    yield "\nA step's pod reaches, through the NetworkPolicies:\n"
    yield "| from | to | port |"
    yield "|---|---|---|"
    yield from _reach(world, "step ingest")
    yield "\nand its account may, and needs to:\n"
    yield "| who | may | on | in the group |"
    yield "|---|---|---|---|"
    for right, verbs in _grouped(accounts.RUNS):
        yield f"| {right[3]} | {verbs} | {right[1]} {right[2]} | `{right[0] or 'core'}` |"
    yield (
        "\n`deploy` then adds the version to the registry, and applies in this order, each by "
        "server-side apply; the objects of the third column are made by KServe:\n"
    )
    yield "| # | object | what comes of it |"
    yield "|---|---|---|"
    rendered = render(sources.state(), DeploymentSettings(), registry=sources.REGISTRY)
    made = {s.title: s.name for s in world.services if "KServe" in s.title}
    for number, manifest in enumerate(rendered.manifests, 1):
        name = manifest["metadata"]["name"]
        own = [n for n in made.values() if n.startswith(f"{name}-predictor")]
        come = (
            f"Deployment, Service and HPA `{own[0]}`"
            if own and manifest["kind"] == "InferenceService"
            else ""
        )
        yield f"| {number} | {manifest['kind']} `{name}` | {come} |"
    yield "\nThe pods that serve reach and are reached:\n"
    yield "| from | to | port |"
    yield "|---|---|---|"
    yield from _reach(world, "InferenceService ranker spec.predictor")
    yield from _reach(world, "InferenceService ranker-20220430-1a2b3c4d spec.predictor")
    yield (
        "\nWhile an experiment runs `deploy` leaves it alone (`running_experiment: wait`) and the new "
        "version stays a candidate; `plan` said so in its log.\n"
    )


def _reach(world: World, title: str) -> Iterator[str]:
    policies = list(world.of("NetworkPolicy"))
    seen: set[tuple[str, str, int]] = set()
    for flow in flows.flows(world):
        if title not in (flow.source.title, flow.target.title) or flows.blocked(policies, flow):
            continue
        key = (flow.source.title, flow.target.title, flow.port)
        if key not in seen:
            seen.add(key)
            yield f"| {_short(key[0])} | {_short(key[1])} | {flow.port}/{flow.protocol} |"


def _grouped(rights: Any) -> Iterator[tuple[tuple[str, str, str, str], str]]:
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for right in rights:
        found.setdefault((right.group, right.resource, right.name, right.why), []).append(
            right.verb
        )
    for key, verbs in found.items():
        yield key, ", ".join(verbs)


def _short(title: str) -> str:
    return title.removesuffix(" spec.predictor").replace("step ingest", "a step")


def _hours(seconds: int) -> str:
    return f"{seconds / 3600:.3g} h"


# ---- one bad model ------------------------------------------------------------------------------


def _bad_model() -> Iterator[str]:
    stop = ClusterSettings.load().steps["stop"]
    yield "\n## One bad model\n"
    yield (
        "| # | object | what you see |\n|---|---|---|\n"
        "| 1 | pod of `validate_model` | ends well: a verdict is its result, not an error |\n"
        "| 2 | the condition `model-is-not-good` | opens; `model-is-good` stays shut: no `deploy` |\n"
        f"| 3 | pod of `stop` | has the keys ({', '.join(stop.secrets)}), so that KFP's launcher can fetch "
        "the verdict; its log ends with check, value and threshold; ends with 4 and is not retried |\n"
        "| 4 | run | FAILED; `hemix submit` names the gate and ends with 4 |\n"
        '| 5 | kube-state-metrics | `kube_pod_status_phase{phase="Failed"}` of that pod is 1 |\n'
        "| 6 | Prometheus | `HemixRunFailed` fires after a minute; Alertmanager tells a person "
        "(component `notify`) |\n"
        "| 7 | registry, cluster | as before: a run that deployed nothing changed nothing |\n"
    )


# ---- the way back -------------------------------------------------------------------------------


def _back(world: World) -> Iterator[str]:
    state = sources.state()
    settings = DeploymentSettings()
    before = render(state, settings, registry=sources.REGISTRY)
    challenger = state.challengers[0].version
    after = render(rollback(state, challenger), settings, registry=sources.REGISTRY)
    yield "## One way back\n"
    yield (
        "```\nhemix deploy --registry s3://models/registry --settings deploy.yaml --rollback --why 'errors'\n```\n"
    )
    yield "Users follow one object, `ConfigMap ranker-predictors`. Before:\n"
    yield f"```yaml\n{before.traffic[0]['data']['predictors.yaml']}```\n"
    yield "and after, about ten seconds later; kubelet brings it to the pods within a minute:\n"
    yield f"```yaml\n{after.traffic[0]['data']['predictors.yaml']}```\n"
    gone = {m["metadata"]["name"] for m in before.manifests} - {
        m["metadata"]["name"] for m in after.manifests
    }
    yield (
        "| # | what | when it is late |\n|---|---|---|\n"
        "| 1 | one pod of the champion answers | a cold one is started first; users stay where they are |\n"
        "| 2 | the ConfigMap | never undone |\n"
        "| 3 | the registry, by the same step over what it says by then | users have moved all the same |\n"
        "| 4 | all pods as the registry says | said, exit code 17, nothing undone |\n"
        f"| 5 | removed after `timeouts.drain`: {', '.join(f'`{name}`' for name in sorted(gone))} | "
        "left with `--no-wait`; the next `hemix deploy` removes it |\n"
    )
    yield "What the account must be able to do for it:\n"
    yield "| who | may | on | in the group |"
    yield "|---|---|---|---|"
    for right, verbs in _grouped(accounts.DEPLOYS):
        yield f"| {right[3]} | {verbs} | {right[1]} {right[2]} | `{right[0] or 'core'}` |"
