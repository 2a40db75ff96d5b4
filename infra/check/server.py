"""A real Kubernetes API server for custom resources, on loopback, while it is needed."""

from __future__ import annotations

import contextlib
import functools
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hemix.errors import EnvironmentProblem, HemixError
from hemix.infra.check.objects import ROOT, Object
from hemix.serving.kubernetes.api import connect

SHARED = ROOT.parent / "shared" / "kubernetes"
NOT_HELD = {"ClusterStorageContainer", "AlertmanagerConfig"}
"""Kinds whose definition the server does not hold: rules of ours look at them, and the report says so."""
PROGRAMS = {
    "etcd": "etcd-server",
    "kubectl": "kubernetes-client",
    "openssl": "openssl",
    "xz": "xz-utils",
}
"""Program -> Debian package."""


def missing() -> str:
    """Why the server cannot run here; empty when it can."""
    if not (SHARED / "crdserver" / "crdserver").is_file():
        return "../shared/kubernetes/crdserver is not on this machine"
    lacking = [f"{p} (package {d})" for p, d in PROGRAMS.items() if shutil.which(p) is None]
    return f"not on PATH: {', '.join(lacking)}" if lacking else ""


@contextlib.contextmanager
def running() -> Iterator[Path]:
    """The server's kubeconfig; it is stopped at the end.

    Raises:
        EnvironmentProblem: it cannot run here, or did not start.
    """
    if reason := missing():
        raise EnvironmentProblem(f"The API server for custom resources cannot run: {reason}.")
    script = str(SHARED / "crdserver" / "crdserver")
    with tempfile.TemporaryDirectory(prefix="hemix-cluster-check-") as folder:
        api, etcd = _free_ports()
        try:
            # A busy machine may need longer than the script waits; what was loaded stays loaded.
            if not _up(folder, api, etcd) and not _up(folder, api, etcd):
                raise EnvironmentProblem(f"The API server did not start: {_told(Path(folder))}")
            yield Path(folder) / "kubeconfig"
        finally:
            subprocess.run([script, "down", folder], check=False)


def _up(folder: str, api: int, etcd: int) -> bool:
    up = [str(SHARED / "crdserver" / "crdserver"), "up", folder, str(api), str(etcd)]
    done = subprocess.run(up, capture_output=True, check=False, timeout=300)
    if done.returncode:
        subprocess.run([up[0], "down", folder], check=False)
    return not done.returncode


def _told(folder: Path) -> str:
    """The last line of each of the server's logs."""
    logs = (folder / name for name in ("etcd.log", "api.log", "crds.log"))
    lines = [log.read_text().strip().splitlines()[-1:] for log in logs if log.is_file()]
    return "; ".join(line for last in lines for line in last)


class Custom:
    """Asks the server whether it would take an object."""

    def __init__(self, kubeconfig: Path) -> None:
        self._connect = functools.cache(
            lambda namespace: connect(namespace=namespace, kubeconfig=kubeconfig)
        )

    def problems(self, item: Object) -> list[str]:
        """Why the server refuses a custom resource; empty when it accepts it. Nothing is kept."""
        namespace = item.manifest["metadata"].get("namespace", "default")
        if item.manifest["kind"] in NOT_HELD:
            return []
        try:
            self._connect(namespace).apply(item.manifest, dry_run=True)
        except HemixError as error:
            return [str(error)]
        return []


def _free_ports() -> tuple[int, int]:
    """A port for the API server, and one for etcd whose next one is free too."""
    for start in range(24_100, 26_000, 10):
        if all(_free(port) for port in (start, start + 1, start + 2)):
            return start + 2, start
    raise EnvironmentProblem("No three neighbouring ports are free below 26000.")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
