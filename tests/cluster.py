"""A real Kubernetes API server for custom resources (``../shared/kubernetes/crdserver``), once a test run.

It has server-side apply, validation, defaulting, conflicts, the status subresource and watches; it
has no core types (ConfigMap, PodDisruptionBudget, Deployment), controllers, webhooks or RBAC.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from filelock import FileLock

SHARED = Path(__file__).resolve().parents[2] / "shared" / "kubernetes"
NEEDED = ("etcd", "kubectl", "openssl", "xz")


def crd_server(base: Path) -> Path:
    """Kubeconfig of the server, which the first caller starts below ``base``; all workers share it.

    It ends when the test run ends, however that ends. Skips where it cannot run, with the reason.
    """
    script = SHARED / "crdserver" / "crdserver"
    if not script.is_file():
        pytest.skip("the API server of ../shared/kubernetes is not on this machine")
    if missing := [program for program in NEEDED if shutil.which(program) is None]:
        pytest.skip(f"the API server needs {', '.join(missing)} on PATH (.ci/run installs them)")
    folder = base / "crd-server"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / ".lock"):
        ready = folder / "ready"
        if not ready.exists():
            _end_with_the_run(script, folder)
            api, etcd = _free_ports()
            up = [str(script), "up", str(folder), str(api), str(etcd)]
            if subprocess.run(up, timeout=240, stdout=subprocess.DEVNULL).returncode:
                _load_definitions(folder / "kubeconfig")
            ready.touch()
    return folder / "kubeconfig"


def _load_definitions(kubeconfig: Path) -> None:
    """What ``crdserver up`` leaves undone when a busy machine starts the server too slowly for it."""
    kubectl = ["kubectl", "--kubeconfig", str(kubeconfig)]
    apply = [*kubectl, "apply", "--server-side", "--validate=false", "-f", str(SHARED / "crds")]
    end = time.monotonic() + 240
    while (done := subprocess.run(apply, capture_output=True, text=True)).returncode:
        if time.monotonic() > end:
            log = (kubeconfig.parent / "api.log").read_text()[-2000:]
            raise AssertionError(f"the API server does not come up: {done.stderr}\n{log}")
        time.sleep(2)
    wait = [*kubectl, "wait", "--for=condition=Established", "crd", "--all", "--timeout=120s"]
    subprocess.run(wait, check=True, stdout=subprocess.DEVNULL)


def _end_with_the_run(script: Path, folder: Path) -> None:
    """``tail --pid`` returns when pytest (the controller, under xdist) is gone, killed or not."""
    run = os.getppid() if os.environ.get("PYTEST_XDIST_WORKER") else os.getpid()
    wait = 'tail --pid="$1" -f /dev/null; exec "$2" down "$3"'
    subprocess.Popen(
        ["sh", "-c", wait, "sh", str(run), str(script), str(folder)],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _free_ports() -> tuple[int, int]:
    """A port for the API server, and one for etcd whose next one is free too."""
    while True:
        # Below the ports that the kernel hands out, so that no client takes one meanwhile.
        etcd = random.randrange(20_000, 30_000, 4)
        if all(_is_free(port) for port in (etcd, etcd + 1, etcd + 2)):
            return etcd + 2, etcd


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
