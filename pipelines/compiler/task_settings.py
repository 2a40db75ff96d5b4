"""Lay cluster settings over one kfp task."""

from __future__ import annotations

from typing import Any

from hemix.pipelines.compiler.cluster_settings import ClusterSettings, Step

SCRATCH = "/tmp"
SHARED_MEMORY = "/dev/shm"


def step_of(task_name: str) -> str:
    """The step that a kfp component's name stands for: ``validate-data`` -> ``validate_data``."""
    return task_name.replace("-", "_")


def configure(task: Any, settings: ClusterSettings) -> None:
    """Give ``task`` the image, resources, retries, caching and pod settings of its step."""
    name = step_of(task.component_spec.name)
    step = settings.steps[name]
    task.set_container_image(settings.image(name))
    _resources(task, step)
    if step.retries.count:
        task.set_retry(
            num_retries=step.retries.count,
            backoff_duration=f"{step.retries.first_pause}s",
            backoff_factor=step.retries.factor,
            # Not the longest pause: Argo fails what is older than this, and retries nothing after.
            backoff_max_duration=f"{step.retries.window_s(step.timeout)}s",
        )
    task.set_caching_options(step.caching.enabled)
    for variable, value in {**settings.env, **step.env}.items():
        task.set_env_variable(variable, value)
    _pod(task, step, settings)


def _resources(task: Any, step: Step) -> None:
    task.set_cpu_request(step.cpu[0]).set_cpu_limit(step.cpu[1])
    task.set_memory_request(step.memory[0]).set_memory_limit(step.memory[1])
    if step.gpu.count:
        task.set_accelerator_type(step.gpu.resource).set_accelerator_limit(step.gpu.count)


def _pod(task: Any, step: Step, settings: ClusterSettings) -> None:
    from kfp import kubernetes

    kubernetes.set_timeout(task, step.timeout)
    kubernetes.set_image_pull_policy(task, settings.images.pull_policy)
    if settings.images.pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(settings.images.pull_secrets))
    kubernetes.set_security_context(
        task,
        run_as_user=settings.security.run_as_user,
        run_as_group=settings.security.run_as_group,
        run_as_non_root=True,
    )
    kubernetes.empty_dir_mount(task, "scratch", SCRATCH, size_limit=step.scratch)
    if step.shared_memory:
        kubernetes.empty_dir_mount(
            task, "shared-memory", SHARED_MEMORY, medium="Memory", size_limit=step.shared_memory
        )
    for name in step.secrets:
        secret = settings.secrets[name]
        kubernetes.use_secret_as_env(task, secret.name, dict(secret.env), optional=secret.optional)
    for volume in step.volumes:
        kubernetes.mount_pvc(task, volume.claim, volume.path)
    for label, value in step.labels.items():
        kubernetes.add_pod_label(task, label, value)
    for label, value in settings.node_selector.items():
        kubernetes.add_node_selector(task, label, value)
    if step.gpu.count:
        for label, value in step.gpu.node_selector.items():
            kubernetes.add_node_selector(task, label, value)
        kubernetes.add_toleration(task, key=step.gpu.taint, operator="Exists", effect="NoSchedule")
