"""Every checker over everything there is to check."""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from hemix.errors import EnvironmentProblem, HemixError
from hemix.infra.check import (
    core,
    mistakes,
    mutations,
    namespaces,
    pod_defaults,
    prometheus,
    rights,
    server,
    sources,
    together,
)
from hemix.infra.check.mistakes import components
from hemix.infra.check.objects import OVERLAYS, ROOT, Manifest, Object, duplicates, kustomized
from hemix.infra.check.report import Report
from hemix.infra.check.rules import own, settings
from hemix.infra.check.users import targets
from hemix.infra.check.users.settings import Files, given, home_of
from hemix.pipelines.compiler.checking import check
from hemix.pipelines.compiler.cluster_settings import ClusterSettings
from hemix.pipelines.compiler.compiler import compiled

SCHEMAS = "Kubernetes schemas"
CUSTOM = "API server (custom)"
TOGETHER = "an overlay as a whole"
MISTAKES = "all rules of ours"
RULES = "promtool"
PIPELINES = "hemix compile --check"
FOLDER = ROOT / "infra" / "kustomize" / "overlays"


def check_all(report: Report, kubeconfig: Path | None = None) -> None:
    """Render and check everything; what cannot run here is reported as missing.

    Args:
        report: takes each finding.
        kubeconfig: of an API server with our custom resources; None starts one and stops it.
    """
    objects: list[Object] = []
    if shutil.which("kubectl") is None:
        report.lacks("kubectl: the overlays are not rendered (.ci/run names the package)")
    else:
        objects += _overlays(report)
    objects += _rendered(report)
    check_objects(report, objects, kubeconfig)
    check_rules(report, [o.manifest for o in objects if o.manifest["kind"] == "PrometheusRule"])
    check_pipelines(report)


def check_overlays(
    report: Report, folders: Sequence[Path], files: Files, kubeconfig: Path | None = None
) -> None:
    """A user's own overlays, with what would be deployed and started in them; no mistakes are made.

    Args:
        report: takes each finding.
        folders: of the overlays.
        files: their settings; what is not given is looked for in each overlay's folder.
        kubeconfig: as in :func:`check_all`.
    """
    if shutil.which("kubectl") is None:
        report.lacks("kubectl: the overlays are not rendered (.ci/run names the package)")
        return
    with contextlib.ExitStack() as stack:

        @functools.cache
        def started() -> Path | None:
            if kubeconfig is not None or server.missing():
                return kubeconfig
            return stack.enter_context(server.running())

        for folder in folders:
            try:
                chosen = files.beside(folder)
                own.use(chosen.own)
                _overlay(report, folder.resolve(), chosen, started)
            except HemixError as error:
                report.good(TOGETHER, str(folder), [str(error)])
            finally:
                own.use(None)


def _overlay(
    report: Report, folder: Path, files: Files, started: Callable[[], Path | None]
) -> None:
    own.own()  # a mistake in the file is told at once
    objects = kustomized(folder)
    if lost := targets.problems(folder, objects):  # all else that is found may come of it
        report.good(TOGETHER, folder.name, lost)
        return
    chosen = given(objects, files)
    deployed = list(sources.shipped(chosen.deployment))
    kinds = {item.manifest["kind"] for item in objects}
    trained = list(sources.trainings(chosen.training))[:1] if "TrainingRuntime" in kinds else []
    whole = [*namespaces.problems(objects), *duplicates(objects)]
    whole += together.problems(objects, [*deployed, *trained], chosen)
    report.good(TOGETHER, folder.name, whole)
    allowed = rights.problems(objects, deployed)
    report.good(TOGETHER, f"{folder.name}: what hemix deploy may do", allowed)
    check_objects(report, [*objects, *deployed, *trained], started(), files=files)
    rules = [o.manifest for o in objects if o.manifest["kind"] == "PrometheusRule"]
    if shutil.which("promtool") is None:
        report.lacks("promtool: rules are not checked (Debian: prometheus)")
    elif rules:
        report.good(RULES, f"{folder.name}: rules", prometheus.problems(rules))


def _overlays(report: Report) -> list[Object]:
    found: list[Object] = []
    for name in OVERLAYS:
        try:
            objects = kustomized(FOLDER / name)
            lost = targets.problems(FOLDER / name, objects)
        except HemixError as error:
            report.good(TOGETHER, name, [str(error)])
            continue
        if lost:  # all else that is found may come of it
            report.good(TOGETHER, name, lost)
            continue
        whole = [*namespaces.problems(objects), *duplicates(objects), *together.problems(objects)]
        report.good(TOGETHER, name, whole)
        allowed = rights.problems(objects, list(sources.endpoint()))
        report.good(TOGETHER, f"{name}: what hemix deploy may do", allowed)
        other = rights.problems(objects, list(sources.endpoint("another")))
        lacking = "a ranker by a name that the role lacks"
        report.bad(TOGETHER, f"{name}: {lacking}", other, kind=lacking)
        for title, worse in broken_overlays(objects):
            found_there = [*namespaces.problems(worse), *together.problems(worse)]
            report.bad(TOGETHER, f"{name} {title}", found_there, kind=title)
        found += objects
    _settled(report)
    return found


def _settled(report: Report) -> None:
    """Every kind of deployment settings in an overlay, Argo's defaults, and every kind of mistake."""
    rendered = functools.cache(lambda name: kustomized(FOLDER / name))
    for name, overlay, applied in sources.variants(lambda name: home_of(rendered(name))):
        whole = together.problems(rendered(overlay), applied)
        report.good(TOGETHER, f"{overlay} with hemix deploy, {name}", whole)
    for names in components.CHOSEN:
        found = components.with_components(names)
        title = f"prod with {', '.join(names)}"
        alone = [p for o in found if not o.core for p in core.everywhere(o.manifest)]
        report.good(TOGETHER, title, [*alone, *together.problems(found)])
    argo = sources.argo()
    report.good(TOGETHER, argo.source, settings.argo(argo.manifest["data"]))
    for mistake in mistakes.MISTAKES:
        report.bad(MISTAKES, mistake.title, mistakes.refused(mistake))


def broken_overlays(objects: Sequence[Object]) -> Iterable[tuple[str, list[Object]]]:
    """An overlay that lacks something, or has something it must not."""

    def without(kind: str, name: str = "") -> list[Object]:
        return [
            o
            for o in objects
            if o.manifest["kind"] != kind or name not in ("", o.manifest["metadata"]["name"])
        ]

    yield "without its default-deny policy", without("NetworkPolicy", "default-deny")
    yield "without quotas", without("ResourceQuota")
    yield "without service accounts", without("ServiceAccount")
    yield (
        "without redis' settings",
        [o for o in objects if not o.manifest["metadata"]["name"].startswith("hemix-redis-")],
    )
    secret: Manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hemix-redis"}}
    yield "with a secret in it", [*objects, Object("broken", secret)]
    opened = copy.deepcopy(list(objects))
    for item in opened:
        if item.manifest["kind"] == "NetworkPolicy" and item.manifest["spec"].get("ingress"):
            item.manifest["spec"]["ingress"] = [{}]
    yield "with a door open to everyone", opened
    mighty = copy.deepcopy(list(objects))
    for item in mighty:
        if item.manifest["kind"] == "Role":
            item.manifest["rules"][0]["verbs"] = ["*"]
    yield "with a role that may do everything", mighty


def _rendered(report: Report) -> list[Object]:
    found: list[Object] = []
    for make in sources.MADE:
        try:
            found += make()
        except EnvironmentProblem as error:
            report.lacks(f"{make.__name__}: {error}")
        except HemixError as error:
            report.good(TOGETHER, make.__name__, [str(error)])
    return found


def check_objects(
    report: Report,
    objects: Sequence[Object],
    kubeconfig: Path | None = None,
    *,
    files: Files | None = None,
) -> None:
    """Core types by their schema, custom ones by the API server; then broken ones of each kind.

    ``files``: of a user's own overlay, of which none is broken.
    """
    breaks = files is None
    cluster = None if files is None else ClusterSettings.load(files.settings)
    injected = [o for o in objects if o.manifest["kind"] == pod_defaults.KIND]
    _check_injected(report, injected, cluster, breaks)
    objects = [o for o in objects if o.manifest["kind"] != pod_defaults.KIND]
    for item in objects:
        if item.core:
            report.good(SCHEMAS, f"{item.source}: {item.title}", core.problems(item.manifest))
    for item in mutations.broken(o for o in objects if o.core and breaks):
        fault = mutations.fault_of(item.source)
        report.bad(SCHEMAS, item.source, core.problems(item.manifest), kind=fault)
    custom = [o for o in objects if not o.core]
    if kubeconfig is not None:
        _check_custom(report, custom, server.Custom(kubeconfig), breaks)
    elif reason := server.missing():
        report.lacks(f"the API server: {len(custom)} custom resources are not checked ({reason})")
    else:
        with server.running() as started:
            _check_custom(report, custom, server.Custom(started))


def _check_injected(
    report: Report, objects: Sequence[Object], cluster: ClusterSettings | None, breaks: bool
) -> None:
    """PodDefaults, by the pods that they change."""
    for item in objects:
        problems = pod_defaults.problems(item.manifest, cluster)
        report.good(SCHEMAS, f"{item.source}: {item.title}", problems)
        if not breaks:
            continue
        for worse in (*mutations.broken([item]), *mutations.broken_tokens(item)):
            fault = mutations.fault_of(worse.source)
            report.bad(SCHEMAS, worse.source, pod_defaults.problems(worse.manifest), kind=fault)


def _check_custom(
    report: Report, custom: Sequence[Object], asked: server.Custom, breaks: bool = True
) -> None:
    for item in custom:
        problems = [*core.everywhere(item.manifest), *asked.problems(item)]
        report.good(CUSTOM, f"{item.source}: {item.title}", problems)
        if item.manifest["kind"] in server.NOT_HELD:
            report.note(
                f"{item.manifest['kind']}: by rules of ours alone; the API server has no definition of it"
            )
    for item in mutations.broken(custom if breaks else ()):
        problems = [*asked.problems(item), *core.everywhere(item.manifest)]
        report.bad(CUSTOM, item.source, problems, kind=mutations.fault_of(item.source))


def check_rules(report: Report, rules: Sequence[Manifest]) -> None:
    """Rules, their unit tests, and the queries of dashboards."""
    if shutil.which("promtool") is None:
        report.lacks("promtool: rules and dashboards are not checked (Debian: prometheus)")
        return
    distinct = list({rule["metadata"]["name"]: rule for rule in rules}.values())
    if distinct:
        report.good(RULES, "rules and their tests", prometheus.problems(distinct, prometheus.TESTS))
        worse = copy.deepcopy(distinct)
        worse[0]["spec"]["groups"][0]["rules"][0]["expr"] = "sum by ("
        report.bad(RULES, "a rule that is no query", prometheus.problems(worse))
        worse = copy.deepcopy(distinct)
        for rule in (r for w in worse for g in w["spec"]["groups"] for r in g["rules"]):
            rule["expr"] = rule["expr"].replace("> 0.25", "> 25")
        silent = prometheus.problems(worse, prometheus.TESTS)
        report.bad(RULES, "an alert that no longer fires", silent)
    for path in sorted((ROOT / "infra" / "monitoring" / "dashboards").glob("*.json")):
        report.good(RULES, path.name, prometheus.dashboard_problems(_json(path)))


def check_pipelines(report: Report) -> None:
    """Every pipeline and every step alone, and broken pipelines."""
    texts: list[tuple[str, str]] = []
    for name in sources.pipelines():
        try:
            texts.append((name, compiled(name)))
        except Exception as error:  # whatever it is, the pipeline does not compile
            report.good(PIPELINES, name, [f"does not compile: {error!r}"])
        else:
            report.good(PIPELINES, name, pipeline_problems(*texts[-1]))
    for name, text in mutations.broken_pipelines(texts):
        fault = mutations.fault_of(name)
        report.bad(PIPELINES, name, pipeline_problems(name, text), kind=fault)


def pipeline_problems(name: str, text: str) -> list[str]:
    """Why ``hemix compile --check`` refuses IR YAML; empty when it does not."""
    try:
        check(text, name)
    except HemixError as error:
        return [str(error)]
    return []


def _json(path: Path) -> dict[str, object]:
    loaded: dict[str, object] = json.loads(path.read_text())
    return loaded
