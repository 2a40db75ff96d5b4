"""What each image's program takes: its command, its arguments, the variables it reads, its ports.

An image is known by its repository, behind the host of whatever registry mirrors it. What is not known
here is refused: a new program is a new line.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import itertools
import re
import zoneinfo
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hemix.infra.check.objects import repository_and_tag
from hemix.infra.check.rules.own import file, mend, own
from hemix.infra.check.rules.world import Pod, World

Manifest = dict[str, Any]
_AWS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION",
        "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE"}  # fmt: skip
_HEMIX = {"HOME", "TMPDIR", "POD_IP", "HEMIX_CACHE", "HEMIX_VERIFY_KEY", "HEMIX_SIGNING_KEY",
          "HEMIX_REDIS_PASSWORD", "HEMIX_ROOT", "HEMIX_KFP_HOST", "HEMIX_KFP_NAMESPACE",
          "HEMIX_KFP_TOKEN", "HEMIX_KFP_TOKEN_FILE", "HEMIX_KFP_CA_CERT", "HEMIX_KFP_UI",
          "HEMIX_FEATURE_REGISTRY", "HEMIX_DEBUG", "KF_PIPELINES_SA_TOKEN_PATH", "TZ",
          "TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "OMP_NUM_THREADS", "MKL_NUM_THREADS",
          "TF_CPP_MIN_LOG_LEVEL", "PYTHONUNBUFFERED", "NCCL_DEBUG", "NCCL_SOCKET_IFNAME",
          "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", *_AWS}  # fmt: skip
"""``POD_IP`` and the like are the container's own, named again in its arguments."""


@dataclass(frozen=True)
class Program:
    """An image's program. ``starts``: first words of its command; empty: the image's own only.

    ``needs``: variables that it cannot do without. ``tag``: what its tags look like.
    """

    starts: tuple[str, ...] = ()
    reads: frozenset[str] = field(default_factory=frozenset)
    needs: tuple[str, ...] = ()
    tag: str = r"[\w.+-]+"
    looks: str = "a version"


_OURS = Program(("hemix", "python"), frozenset(_HEMIX))
_FLINK = frozenset({"FLINK_CONF_DIR", "FLINK_LOG_DIR", "POD_IP", "FLINK_PROPERTIES"})
PROGRAMS = {
    "docker.io/library/redis": Program(
        ("sh",), frozenset({"MAXMEMORY", "REDISCLI_AUTH"}), ("MAXMEMORY", "REDISCLI_AUTH"),
        r"([7-9]|\d\d)\.\d+\.\d+", "7.4.2 and the like, from 7",
    ),
    "docker.io/library/flink": Program(
        ("/opt/flink/bin/jobmanager.sh", "/opt/flink/bin/taskmanager.sh"), _FLINK,
        ("FLINK_CONF_DIR", "FLINK_LOG_DIR"), r"\d+\.\d+\.\d+-scala_2\.12-java(11|17)", "1.20.1-scala_2.12-java17 and the like",
    ),
    "docker.io/apache/beam_flink1.20_job_server": Program((), frozenset(), ()),
    "docker.io/kserve/storage-initializer": Program((), frozenset(_AWS), (), r"v(0\.(1[89]|[2-9]\d)|[1-9]\d*\.\d+)\.\d+", "v0.20.0 and the like, that of the installed KServe"),
}  # fmt: skip
_HEMIX_IMAGE = re.compile(r"^[^/]+/(?:.+/)?(features|train|pipeline|serve)$")
_JOB_SERVER = {"flink-master", "job-host", "job-port", "artifact-port", "expansion-port",
               "artifacts-dir", "flink-conf-dir", "clean-artifacts-per-job"}  # fmt: skip
_THREADS = (r"[1-9]\d{0,2}", "a number of threads, 1 to 999")
_PROXY = (r"https?://[^\s/]+/?", "http://HOST:PORT")
_LOOKS = {
    "OMP_NUM_THREADS": _THREADS, "MKL_NUM_THREADS": _THREADS, "HTTP_PROXY": _PROXY, "HTTPS_PROXY": _PROXY,
    "AWS_REGION": (r"[a-z]{2}(-[a-z]+)+-\d|[a-z0-9-]+", "a region, such as eu-central-1"),
    "AWS_ENDPOINT_URL": (r"https?://[^\s/]+(:\d+)?/?", "http://HOST:PORT"),
    "NCCL_DEBUG": (r"VERSION|WARN|INFO|TRACE", "VERSION, WARN, INFO or TRACE"),
    "PYTHONUNBUFFERED": (r"\S+", "1"), "TF_CPP_MIN_LOG_LEVEL": (r"[0-3]", "0 to 3"),
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": (r"1", "1"), "HEMIX_REDIS_PASSWORD": (r"", "from a secret"),
}  # fmt: skip
"""What values of variables look like, and the same for people."""
_SECRET = re.compile(r"(PASSWORD|SECRET|TOKEN|AUTH|_KEY)")
_KEYS = {"HEMIX_VERIFY_KEY": "public.pem", "HEMIX_SIGNING_KEY": "private.pem",
         "HEMIX_REDIS_PASSWORD": "password", "REDISCLI_AUTH": "password"}  # fmt: skip
_ROLES = {"kserve": "serve", "trainer": "train"}
_SERVICES = ("hemix-redis",)
_SHELL_PROBE = ("redis-cli ping",)


def problems(world: World) -> Iterator[str]:
    """What a container's program would not understand, or lack."""
    for pod in world.pods:
        for container in (
            *(pod.spec.get("initContainers") or ()),
            *(pod.spec.get("containers") or ()),
        ):
            for problem in _container(pod, container):
                yield f"{pod.title}: container {container.get('name')}: {problem}"


def of(image: Any) -> tuple[str, str, Program | None]:
    """Repository, tag, and the program; None: not known here."""
    repository, tag = repository_and_tag(str(image or ""))
    if "/hemix/" in f"/{repository}" and _HEMIX_IMAGE.match(repository):
        return repository, tag, _OURS
    return repository, tag, PROGRAMS.get(published(repository))


_PUBLIC = ("docker.io", "quay.io", "ghcr.io", "gcr.io", "registry.k8s.io", "mcr.microsoft.com")
"""Hosts where everyone may publish: there the whole path counts."""
_VENDORS = re.compile(r"(^|/)(bitnami|chainguard|redislabs|oliver006|apache/flink)")


def published(repository: str) -> str:
    """The repository that an image is a copy of: ``docker.io/library/redis`` of ``mirror.example.com/hub/redis``.

    A registry of one's own may hold it as ``.../library/redis`` or ``.../redis``; where everyone may
    publish only the name itself is meant. What is no copy of a known program stays as it is.
    """
    host, _, path = repository.partition("/")
    if host in _PUBLIC or not ("." in host or ":" in host or host == "localhost"):
        return repository
    for known in PROGRAMS:
        whole = known.partition("/")[2]
        last = whole.rpartition("/")[2]
        if f"/{path}".endswith((f"/{whole}", f"/{last}")) and not _VENDORS.search(path):
            return known
    return repository


def _container(pod: Pod, container: Manifest) -> Iterator[str]:
    repository, tag, program = of(container.get("image"))
    ours = _HEMIX_IMAGE.match(repository)
    role = "features" if "worker_pool" in str(container.get("command")) else _ROLES.get(pod.maker)
    if ours and role and ours[1] != role:
        yield f"runs in the image {ours[1]}, and what it starts is in {role}"
    if program is None:
        if repository not in own().images:
            known = ", ".join(sorted(name.rpartition("/")[2] for name in PROGRAMS))
            yield f"no one here knows the image {repository}: ours end in hemix/NAME, others in {known} (a mirror of your own may hold them); {mend('images')}"
        return
    if tag and not re.fullmatch(program.tag, tag):
        yield f"{tag} is no tag of {repository} that is known to work here: {program.looks}"
    command = [str(word) for word in container.get("command") or ()]
    words = [*command, *(str(word) for word in container.get("args") or ())]
    if pod.maker != "kfp":  # KFP's backend writes the command of a step
        if program.starts and (not command or command[0] not in program.starts):
            yield f"{repository} has no program {command[0] if command else '(none is named)'}"
        if pod.maker == "kserve" and program is _OURS and words[:2] != ["hemix", "serve"]:
            yield f"starts {' '.join(words[:2])}, not hemix serve"
        if not program.starts and command:
            yield f"{repository} starts by itself, not by {command[0]}"
        yield from _variables(container, program, words, pod.title)
        for word in words:
            if word == "":
                yield "an empty word among its arguments"
    for name, rule in _RULES.items():
        if re.search(name, f"{published(repository)} {' '.join(words)}"):
            yield from rule(pod, container, words)


def _variables(
    container: Manifest, program: Program, words: list[str], title: str
) -> Iterator[str]:
    variables = container.get("env") or ()
    names = {str(v.get("name")) for v in variables}
    expanded = {name for word in words for name in re.findall(r"\$\((\w+)\)", word)}
    for variable in variables:
        name = str(variable.get("name"))
        meant = f"{title} env.{name}"
        if name not in {*program.reads, *expanded} and meant not in own().changed:
            yield f"nothing that is shipped reads the variable {name}; take it out, or, if your own code reads it, name '{meant}' under changed in {file()}"
        told = str(variable.get("value") or "")
        if name in _LOOKS and told and not re.fullmatch(_LOOKS[name][0], told):
            yield f"the variable {name} is {told!r}: must be {_LOOKS[name][1]}"
        if name == "TZ" and told and told not in zoneinfo.available_timezones():
            yield f"the variable TZ is {told!r}: no time zone, such as Europe/Berlin"
        if not variable.get("value") and not variable.get("valueFrom"):
            yield f"the variable {name} is empty"
        reference = (variable.get("valueFrom") or {}).get("secretKeyRef") or {}
        key = str(reference.get("key", ""))
        if _SECRET.search(name) and str(variable.get("value") or "/")[:1] != "/":
            yield f"the variable {name} is a secret in the clear"
        if _SECRET.search(name) and "configMapKeyRef" in (variable.get("valueFrom") or {}):
            yield f"the variable {name} is a secret that lies in a ConfigMap"
        if name in _KEYS and key and key != _KEYS[name]:
            leak = ": a private key would lie in every pod" if key == "private.pem" else ""
            yield f"the variable {name} is filled from the key {key}, not {_KEYS[name]}{leak}"
        if key.startswith("AWS_") and key != name:
            yield f"the variable {name} is filled from the key {key}"
        path = (variable.get("valueFrom") or {}).get("fieldRef") or {}
        if name == "POD_IP" and path.get("fieldPath") != "status.podIP":
            yield f"POD_IP is {path.get('fieldPath')}"
        if path and path.get("apiVersion", "v1") != "v1":
            yield f"the variable {name}: {path['apiVersion']} is no version of a pod"
    for name in program.needs:
        if name not in names:
            yield f"lacks the variable {name}"


# ---- programs -----------------------------------------------------------------------------------


def _ours(pod: Pod, container: Manifest, words: list[str]) -> Iterator[str]:
    """A root that cannot be written: HOME and temporary files lie in a volume that can."""
    if pod.maker == "kfp":
        return
    if words[:2] == ["python", "-m"] and "beam" in " ".join(words[:3]):
        told = {}
    else:
        told = {str(v.get("name")): v.get("value") for v in container.get("env") or ()}
        for name in ("HOME", "HEMIX_CACHE"):
            if name not in told:
                yield f"lacks the variable {name}: its root cannot be written"
    writable = _writable(pod, container)
    for name in ("HOME", "TMPDIR", "HEMIX_CACHE"):
        if name in told and not _within(str(told[name]), writable):
            yield f"{name} is {told[name]}, where no volume can be written"
    if not writable:
        yield "no volume can be written, and its root cannot"
    elif not _within("/tmp", writable):
        yield "/tmp cannot be written"
    names = {str(v.get("name")) for v in container.get("env") or ()}
    keys = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    text = " ".join(words)
    if "s3://" in text and not keys <= names and keys & names:
        yield f"reads s3:// and lacks {', '.join(sorted(keys - names))}"
    if "s3://" in text and not keys & names and pod.maker in ("kserve", "trainer"):
        yield "reads s3:// and has no keys"
    if "redis://" in text and "HEMIX_REDIS_PASSWORD" not in names:
        yield "reads redis:// and lacks HEMIX_REDIS_PASSWORD"


def _writable(pod: Pod, container: Manifest) -> list[str]:
    volumes = {v.get("name"): v for v in pod.spec.get("volumes") or ()}
    kinds = {"emptyDir", "persistentVolumeClaim", "ephemeral"}
    return [
        str(m.get("mountPath"))
        for m in container.get("volumeMounts") or ()
        if kinds & set(volumes.get(m.get("name")) or ()) and not m.get("readOnly")
    ]


def _within(path: str, roots: list[str]) -> bool:
    return any(path == root or path.startswith(root.rstrip("/") + "/") for root in roots)


def _serve(pod: Pod, container: Manifest, words: list[str]) -> Iterator[str]:
    """Files and folders that ``hemix serve`` is told of are mounted."""
    if words[:2] != ["hemix", "serve"]:
        return
    told = dict(itertools.pairwise(words))
    part = pod.labels.get("app.kubernetes.io/component")
    wanted = {"ranker": "transformer", "predictor": "predictor"}.get(str(part))
    if wanted and told.get("--role") != wanted:
        yield f"--role {told.get('--role')} in the pods of the {part}: must be {wanted}"
    mounts = [str(m.get("mountPath")) for m in container.get("volumeMounts") or ()]
    for option in ("--predictors", "--experiments"):
        if option in told and not _within(told[option], mounts):
            yield f"{option} {told[option]}: no volume is mounted there"
    writable = _writable(pod, container)
    for option in ("--dead-letters", "--exposures"):
        place = told.get(option, "s3://")
        if "://" not in place and not _within(place, writable):
            yield f"{option} {place}: no volume can be written there"
    if "--model" in told and told["--model"] != "/mnt/models":
        yield f"--model {told['--model']}: KServe puts the model at /mnt/models"
    for option, last in (("--features", "feature_store"), ("--exposures", "exposures")):
        place = told.get(option, last)
        if "://" in place and place.rstrip("/").rpartition("/")[2] != last:
            yield f"{option} {place}: runs keep it at ROOT/{last}"
    for place in words:
        host = re.match(r"rediss?://(?:[^@/]*@)?([a-z0-9.-]+)", place)
        if host and "." not in host[1] and host[1] not in _SERVICES:
            yield f"{place}: there is no Service {host[1]}"
    for option, most, why in (
        ("--workers", 16, "each is a process with the model in its own memory"),
        ("--timeout", 60, "no user waits longer for a ranking"),
        ("--deadline", 60, "no user waits longer for a ranking"),
    ):
        number = _number(told.get(option, "1"))
        if not 0 < number <= most:
            yield f"{option} {told.get(option)} is not above 0 and at most {most}: {why}"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return -1.0


def _redis(pod: Pod, container: Manifest, words: list[str]) -> Iterator[str]:
    text = "\n".join(words[2:])
    if words[:1] == ["sh"] and (len(words) != 3 or not re.fullmatch(r"-[a-z]*c", words[1])):
        yield f"its command is {' '.join(words[:2])!r} and {len(words) - 2} texts: sh takes -c and one text"
    if re.search(r"<<-?\s*['\"\\\\]", text):
        yield "the mark of its here-document is quoted (<<'END'): the shell leaves $MAXMEMORY and the password as they stand"
    for mark in re.findall(r"<<-?\s*['\"\\\\]?(\w+)", text):
        if not re.search(rf"^\s*{mark}$", text, re.MULTILINE):
            yield f"its here-document has no end: no line is {mark}"
    for part in ("redis-server -", "redis.conf", "maxmemory $MAXMEMORY", 'requirepass "$REDISCLI_AUTH"'):  # fmt: skip
        if part not in text:
            yield f"its command lacks {part!r}"
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        command = ((container.get(kind) or {}).get("exec") or {}).get("command")
        if command is None:
            continue
        said = " ".join(map(str, command))
        if command[:2] != ["sh", "-c"] or len(command) != 3:
            yield f"{kind}: {said!r} is not sh -c and one text, such as sh -c 'redis-cli ping >/dev/null': redis-cli alone is content with any answer"
        elif not any(part in str(command[2]) for part in _SHELL_PROBE):
            yield f"{kind}: {command[2]!r} asks redis nothing"
        elif kind != "livenessProbe" and "PONG" not in str(command[2]):
            yield f"{kind}: {command[2]!r} is content with LOADING, while redis still reads its file: test that the answer is PONG"


def _flink(pod: Pod, container: Manifest, words: list[str]) -> Iterator[str]:
    part = str(container.get("name"))
    program = words[0].rpartition("/")[2].partition(".")[0] if words else ""
    component = pod.labels.get("app.kubernetes.io/component")
    if words[1:2] != ["start-foreground"]:
        yield "start-foreground is missing: the container ends at once"
    if part != component or program != component:
        yield f"container {part} starts {program} in the pods of {component}"
    told = {str(v.get("name")): str(v.get("value", "")) for v in container.get("env") or ()}
    mounts = {str(m.get("mountPath")): str(m.get("name")) for m in container.get("volumeMounts") or ()}  # fmt: skip
    folder = told.get("FLINK_CONF_DIR", "")
    if folder not in mounts:
        yield f"FLINK_CONF_DIR {folder!r}: no configuration is mounted there"
    if not _within(told.get("FLINK_LOG_DIR", ""), _writable(pod, container)):
        yield f"FLINK_LOG_DIR {told.get('FLINK_LOG_DIR')!r} cannot be written"
    if program == "taskmanager" and "-Dtaskmanager.host=$(POD_IP)" not in words[2:]:
        yield "-Dtaskmanager.host=$(POD_IP) is missing: the JobManager would ask it by a name that no DNS has"
    for word in words[2:]:
        if not re.fullmatch(r"-D[a-z][a-z0-9.-]+=\S+", word):
            yield f"{word!r} is no option of Flink's"
    get = ((container.get("readinessProbe") or {}).get("httpGet")) or {}
    if get and get.get("path") not in ("/overview", "/config", "/v1/overview"):
        yield f"readinessProbe: Flink answers nothing at {get.get('path')}"


def _job_server(pod: Pod, container: Manifest, words: list[str]) -> Iterator[str]:
    told: dict[str, str] = {}
    for word in words:
        match = re.fullmatch(r"--([a-z-]+)=(\S+)", word)
        if match is None or match[1] not in _JOB_SERVER:
            yield f"{word!r} is no option of Beam's job server"
        else:
            told[match[1]] = match[2]
    ports = {p.get("name"): str(p.get("containerPort")) for p in container.get("ports") or ()}
    for option, name in (("job-port", "jobs"), ("artifact-port", "artifacts")):
        if told.get(option) != ports.get(name):
            yield f"--{option}={told.get(option)}, and the container says {ports.get(name)}"
    if told.get("job-host") != "0.0.0.0":
        yield f"--job-host={told.get('job-host')}: no one else reaches it"
    if not re.fullmatch(r"[a-z][a-z0-9.-]*:\d+", told.get("flink-master", "")):
        yield f"--flink-master is {told.get('flink-master')!r}, no HOST:PORT: jobs would run inside of it"
    if not _within(told.get("artifacts-dir", ""), _writable(pod, container)):
        yield f"--artifacts-dir={told.get('artifacts-dir')} cannot be written"
    tag, version = of(container.get("image"))[1], importlib.metadata.version("apache-beam")
    if tag and tag != version:
        yield f"is Beam {tag}, and the steps have Beam {version}"


def _pool(pod: Pod, container: Manifest, words: list[str]) -> Iterator[str]:
    ports = [str(p.get("containerPort")) for p in container.get("ports") or ()]
    told = [word.partition("=")[2] for word in words if word.startswith("--service_port=")]
    if told != ports or words[:2] != ["python", "-m"]:
        yield f"listens at {', '.join(told) or 'no port'} (--service_port), and the container says {ports}"
    if told not in ([], ["50000"]):
        yield f"the steps ask the pool at localhost:50000, not {told[0]}"


def _python(pod: Pod, container: Manifest, words: list[str]) -> Iterator[str]:
    if words[:1] != ["python"]:
        return
    if words[1:2] != ["-m"] or not is_module(words[2] if len(words) > 2 else ""):
        yield f"there is no module {words[2] if len(words) > 2 else ''!r} to start (python -m)"


@functools.cache
def is_module(name: str) -> bool:
    """Whether Python finds a module of that name."""
    try:
        return bool(name) and importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


Rule = Callable[[Pod, Manifest, list[str]], Iterator[str]]
_RULES: dict[str, Rule] = {
    r"^\S*/hemix/\S+ ": _ours,
    r" hemix serve": _serve,
    r"^docker\.io/library/redis": _redis,
    r"^docker\.io/library/flink": _flink,
    r"^docker\.io/apache/\S+_job_server": _job_server,
    r"worker_pool_main|service_port": _pool,
    r" python ": _python,
}
