"""Where the Kubeflow Pipelines API is and who asks: flags, then environment, then cluster files."""

from __future__ import annotations

import ipaddress
import os
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hemix.errors import DefinitionError, EnvironmentProblem

HOST = ("HEMIX_KFP_HOST", "KF_PIPELINES_ENDPOINT")
NAMESPACE = ("HEMIX_KFP_NAMESPACE", "KF_PIPELINES_NAMESPACE")
TOKEN = ("HEMIX_KFP_TOKEN",)
TOKEN_FILE = ("HEMIX_KFP_TOKEN_FILE", "KF_PIPELINES_SA_TOKEN_PATH")
CA_CERT = ("HEMIX_KFP_CA_CERT",)
UI = ("HEMIX_KFP_UI", "KF_PIPELINES_UI_ENDPOINT")

# Where kubelet puts what a pod is told (see kfp.client.client.Client).
_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
POD_TOKEN = Path("/var/run/secrets/kubeflow/pipelines/token")
AUDIENCE = "pipelines.kubeflow.org"
"""What a token must be made for: KFP's API takes no other (``infra/multi-user``)."""
_IN_CLUSTER = "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
_PROXY = "/api/v1/namespaces/kubeflow/services/ml-pipeline:http/proxy"
_NO_HOST = "Give --host URL, set HEMIX_KFP_HOST, or choose a context: kubectl config use-context."


@dataclass(frozen=True, kw_only=True)
class Kubeconfig:
    """The current context of a kubeconfig: ``configuration`` holds address and credentials."""

    path: str
    namespace: str
    configuration: Any = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Connection:
    """A resolved address; ``token_file`` is read anew when the server refuses the token.

    ``connect_s`` and ``read_s`` bound each request, in seconds.
    """

    host: str
    namespace: str = ""
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    ca_cert: Path | None = None
    ui: str = ""
    kubeconfig: Kubeconfig | None = None
    connect_s: float = 10.0
    read_s: float = 60.0

    def read_token(self) -> str:
        """The token as it is now; empty for none.

        Raises:
            EnvironmentProblem: the token's file cannot be read.
        """
        if self.token or self.token_file is None:
            return self.token
        try:
            return self.token_file.read_text().strip()
        except OSError as error:
            raise EnvironmentProblem(
                f"{self.token_file}: cannot read the token ({error.strerror}).",
                hint="Give --token-file, or --token.",
            ) from error

    def page_of(self, run_id: str) -> str:
        """Where a person looks at a run."""
        return f"{self.ui or self.host}/#/runs/details/{run_id}"


def resolve(
    *,
    host: str = "",
    namespace: str = "",
    token: str = "",
    token_file: Path | None = None,
    ca_cert: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Connection:
    """Fill what is not given: environment first, then the pod's own files, then the kubeconfig.

    Args:
        host: address of the KFP API server.
        namespace: of the runs.
        token: bearer token.
        token_file: file that holds the token.
        ca_cert: certificate authority of the server, PEM.
        environment: variables; None: this process's.

    Raises:
        DefinitionError: a value cannot be used as written.
        EnvironmentProblem: nothing says where the server is.
    """
    known = os.environ if environment is None else environment
    host = host or _first(known, HOST)
    token = token or ("" if token_file else _first(known, TOKEN))
    file = token_file or _path(_first(known, TOKEN_FILE))
    in_pod = bool(known.get("KUBERNETES_SERVICE_HOST"))
    namespace = namespace or _first(known, NAMESPACE)
    kubeconfig = None
    if in_pod:
        host = host or _IN_CLUSTER
        namespace = namespace or _read(_POD_NAMESPACE)
        file = file or (POD_TOKEN if POD_TOKEN.is_file() else None)
    elif not host or not namespace:
        kubeconfig = _kubeconfig(known)
        namespace = namespace or (kubeconfig.namespace if kubeconfig else "")
    if host:
        kubeconfig = None
        host = _checked(host)
    elif kubeconfig:
        host = kubeconfig.configuration.host.rstrip("/") + _PROXY
    else:
        raise EnvironmentProblem("No Kubeflow Pipelines server is named.", hint=_NO_HOST)
    return Connection(
        host=host,
        namespace=namespace,
        token=token,
        token_file=None if token else file,
        ca_cert=ca_cert or _path(_first(known, CA_CERT)),
        ui=_first(known, UI).rstrip("/"),
        kubeconfig=kubeconfig,
    )


def _checked(host: str) -> str:
    """``host`` as a URL; a bare name is https, a bare loopback address http."""
    if "://" not in host:
        name = urllib.parse.urlsplit(f"//{host}").hostname or ""
        host = f"{'http' if _is_loopback(name) else 'https'}://{host}"
    parts = urllib.parse.urlsplit(host)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DefinitionError(
            f"--host {host!r} is not an address.", hint="For example https://kfp.example.com."
        )
    return host.rstrip("/")


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _kubeconfig(known: Mapping[str, str]) -> Kubeconfig | None:
    """The current context, or None where there is no kubeconfig.

    Raises:
        EnvironmentProblem: there is one and it cannot be used.
    """
    path = known.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    if not any(Path(part).is_file() for part in path.split(os.pathsep) if part):
        return None
    import kfp_server_api
    from kubernetes import config

    try:
        _, context = config.list_kube_config_contexts(path)
        configuration = kfp_server_api.Configuration()
        config.load_kube_config(path, client_configuration=configuration, persist_config=False)
    except config.ConfigException as error:
        raise EnvironmentProblem(f"{path}: {error}.", hint=_NO_HOST) from error
    return Kubeconfig(
        path=path,
        namespace=context["context"].get("namespace", ""),
        configuration=configuration,
    )


def _first(known: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((known[name] for name in names if known.get(name)), "")


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _read(path: Path) -> str:
    return path.read_text().strip() if path.is_file() else ""
