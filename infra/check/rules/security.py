"""Pod Security `restricted` of Kubernetes 1.31, whole, and our own rule: a root that cannot be written.

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
    "projected", "secret",
}  # fmt: skip
_SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes",
}  # fmt: skip
_SELINUX = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
_PROFILES = ("RuntimeDefault", "Localhost")
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"


def containers_of(pod: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Every container with the list it stands in."""
    return [
        (kind, container)
        for kind in ("initContainers", "containers", "ephemeralContainers")
        for container in pod.get(kind) or ()
        if isinstance(container, dict)
    ]


def problems(where: str, pod: dict[str, Any], annotations: dict[str, str]) -> Iterator[str]:
    """Why the namespace would refuse a pod."""
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(key):
            yield f"{where}.{key}: not under `restricted`"
    for volume in pod.get("volumes") or ():
        for kind in set(volume) - {"name"} - VOLUMES:
            yield f"{where}.volumes: {volume.get('name')} is a {kind}, not under `restricted`"
    for key, value in annotations.items():
        if key.startswith(_APPARMOR) and value not in ("runtime/default", "localhost/*"):
            yield f"{where}: annotation {key}={value}, not under `restricted`"
    of_pod = pod.get("securityContext") or {}
    yield from _both(where, of_pod)
    if of_pod.get("runAsNonRoot") is False or of_pod.get("runAsUser") == 0:
        yield f"{where}.securityContext: may run as root"
    for sysctl in of_pod.get("sysctls") or ():
        if sysctl.get("name") not in _SYSCTLS:
            yield f"{where}: sysctl {sysctl.get('name')} is not a safe one"
    for kind, container in containers_of(pod):
        of_container = container.get("securityContext") or {}
        name = f"{where} container {container.get('name')}"
        yield from _both(name, of_container)
        yield from _container(name, kind, container, of_container, of_pod)


def _container(
    name: str, kind: str, container: dict[str, Any], own: dict[str, Any], of_pod: dict[str, Any]
) -> Iterator[str]:
    both = {**of_pod, **{key: value for key, value in own.items() if value is not None}}
    if both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0:
        yield f"{name}: may run as root"
    if (both.get("seccompProfile") or {}).get("type") not in _PROFILES:
        yield f"{name}: has no seccomp profile"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{name}: may escalate its privileges"
    if own.get("privileged"):
        yield f"{name}: is privileged"
    capabilities = own.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or ()):
        yield f"{name}: keeps capabilities"
    for added in set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}:
        yield f"{name}: adds the capability {added}"
    if own.get("procMount") not in (None, "Default"):
        yield f"{name}: procMount {own['procMount']}"
    if own.get("readOnlyRootFilesystem") is not True and kind == "containers":
        yield f"{name}: may write its root file system"
    for port in container.get("ports") or ():
        if port.get("hostPort"):
            yield f"{name}: takes the node's port {port['hostPort']}"
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        for way in ("httpGet", "tcpSocket"):
            if ((container.get(probe) or {}).get(way) or {}).get("host"):
                yield f"{name}: {probe} names a host"
    for moment, handler in (container.get("lifecycle") or {}).items():
        if isinstance(handler, dict) and (handler.get("httpGet") or {}).get("host"):
            yield f"{name}: lifecycle.{moment} names a host"


def _both(where: str, context: dict[str, Any]) -> Iterator[str]:
    """What holds for a pod's context and a container's."""
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        yield f"{where}: is a host process"
    profile = context.get("seccompProfile") or {}
    if profile and profile.get("type") not in _PROFILES:
        yield f"{where}: seccomp profile {profile.get('type')}"
    armor = context.get("appArmorProfile") or {}
    if armor and armor.get("type") not in _PROFILES:
        yield f"{where}: AppArmor profile {armor.get('type')}"
    linux = context.get("seLinuxOptions") or {}
    if linux.get("type", "") not in _SELINUX or linux.get("user") or linux.get("role"):
        yield f"{where}: SELinux options {linux}"
