"""Executors: pinned images, and the pod settings that every step of ours has."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hemix.pipelines.compiler.checking.reading import Compiled

_DIGEST = re.compile(r"^[a-z0-9][^\s@:]*(:[0-9]+)?[^\s@]*@sha256:[0-9a-f]{64}$")
_TAGGED = re.compile(r"^[a-z0-9]([^\s@]*/)?[a-z0-9._-]+:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")


def image_problem(image: str) -> str:
    """What is wrong with an image reference; empty when it is pinned."""
    if _DIGEST.match(image):
        return ""
    if not _TAGGED.match(image):
        return f"image {image!r} has no tag"
    return f"image {image!r} is not pinned" if image.endswith(":latest") else ""


def executor_problems(found: Compiled) -> Iterator[str]:
    """Executors without container, command or pinned image, or whose request is above its limit."""
    for label, executor in found.executors.items():
        if executor.WhichOneof("spec") != "container":
            yield f"{label}: is no container"
            continue
        container = executor.container
        if problem := image_problem(container.image):
            yield f"{label}: {problem}"
        if not container.command:
            yield f"{label}: has no command"


def pod_problems(found: Compiled) -> Iterator[str]:
    """Pods of no executor; executors whose pods may run as root or for ever."""
    if found.pods is None:
        return
    for label in sorted(set(found.pods) - set(found.executors)):
        yield f"pod settings of {label}, which is no executor"
    for label in found.executors:
        pod = found.pods.get(label)
        if pod is None:
            yield f"{label}: has no pod settings"
            continue
        if not pod.security_context.run_as_non_root or pod.security_context.run_as_user == 0:
            yield f"{label}: may run as root"
        if not pod.active_deadline_seconds:
            yield f"{label}: has no timeout"


def retry_problems(found: Compiled) -> Iterator[str]:
    """Retries that Argo would refuse, or never make: its window counts from the first start."""
    if found.pods is None:
        return
    labels = {name: component.executor_label for name, component in found.components.items()}
    for where, component in {"root": found.spec.root, **found.components}.items():
        for name, task in component.dag.tasks.items():
            policy = task.retry_policy
            pod = found.pods.get(labels.get(task.component_ref.name, ""))
            if not policy.max_retry_count or pod is None:
                continue
            if policy.backoff_factor != int(policy.backoff_factor):
                yield f"{where}/{name}: retries with factor {policy.backoff_factor}; Argo takes whole numbers"
            needed = (policy.max_retry_count + 1) * pod.active_deadline_seconds
            if policy.backoff_max_duration.seconds < needed:
                yield (
                    f"{where}/{name}: all {policy.max_retry_count + 1} attempts must end within "
                    f"{policy.backoff_max_duration.seconds} s of the first start, and need {needed} s"
                )
