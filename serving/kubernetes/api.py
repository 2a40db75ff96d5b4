"""The few calls that a deployment makes, over the kubernetes client; failures become ours.

Every call may be repeated without harm (reads, server-side apply, deletes), so that one which a
short absence of the API server hit is tried again.
"""

from __future__ import annotations

import json
import logging
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hemix.errors import EnvironmentProblem
from hemix.serving.kubernetes.errors import ClusterError, Forbidden, MissingKind
from hemix.serving.kubernetes.manifests.names import MANAGER, Manifest, title
from hemix.serving.kubernetes.refusals import refusal

_AGAIN = {429, 502, 503, 504}
_PAUSES_S = (0.5, 1.0, 2.0)
_NO_CLUSTER = "Give --kubeconfig FILE and --context NAME, or set KUBECONFIG."


@dataclass(frozen=True)
class Kind:
    """How the API server calls a kind: its plural, and whether it lies in namespaces."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    def path(self, namespace: str, name: str = "") -> str:
        """The URL's path of one object, or of all."""
        group = f"/apis/{self.api_version}" if "/" in self.api_version else "/api/v1"
        inside = f"/namespaces/{namespace}" if self.namespaced else ""
        return f"{group}{inside}/{self.plural}" + (f"/{urllib.parse.quote(name)}" if name else "")


class Cluster:
    """An API server and one namespace of it.

    Args:
        client: ``kubernetes.client.ApiClient``.
        namespace: where namespaced objects are.
        timeout_s: of one request.
    """

    def __init__(self, client: Any, *, namespace: str, timeout_s: float = 30.0) -> None:
        self._client = client
        self.namespace = namespace
        self.host: str = client.configuration.host
        self._timeout_s = timeout_s
        self._kinds: dict[str, dict[str, Kind]] = {}

    def kind(self, api_version: str, kind: str) -> Kind:
        """How the cluster calls a kind; MissingKind when it does not know it."""
        if api_version not in self._kinds:
            path = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
            found = self._call("GET", path, what=f"the kinds of {api_version}", absent={}) or {}
            self._kinds[api_version] = {
                r["kind"]: Kind(api_version, r["kind"], r["name"], r["namespaced"])
                for r in found.get("resources", ())
                if "/" not in r["name"]
            }
        try:
            return self._kinds[api_version][kind]
        except KeyError:
            raise MissingKind(
                f"{self.host} knows no {kind} of {api_version}.", hint=_hint(api_version)
            ) from None

    def get(self, manifest: Manifest) -> Manifest | None:
        """The object as it is now; None when there is none."""
        return self._call("GET", self._path(manifest), what=f"read {title(manifest)}", absent=None)

    def apply(self, manifest: Manifest, *, dry_run: bool = False, force: bool = False) -> Manifest:
        """Server-side apply as field manager ``hemix``; returns the object as the server has it.

        Args:
            manifest: the object as it is wanted.
            dry_run: everything is checked and nothing kept.
            force: take fields over that another manager owns.

        Raises:
            FieldConflict: another manager owns a field that would change; names both.
            ClusterError: the server refused; names object and field.
        """
        query = {"fieldManager": MANAGER, "force": str(force).lower(), "fieldValidation": "Strict"}
        if dry_run:
            query["dryRun"] = "All"
        found = self._call(
            "PATCH",
            self._path(manifest),
            what=f"apply {title(manifest)}",
            query=query,
            body=manifest,
        )
        assert found is not None
        return found

    def delete(self, manifest: Manifest) -> None:
        """Delete an object; none there is no error. What KServe made of it goes with it."""
        query = {"propagationPolicy": "Background"}
        what = f"delete {title(manifest)}"
        self._call("DELETE", self._path(manifest), what=what, query=query, absent=None)

    def list(self, api_version: str, kind: str, *, selector: str) -> list[Manifest]:
        """All objects of a kind that a label selector finds, with their apiVersion and kind."""
        path = self.kind(api_version, kind).path(self.namespace)
        query = {"labelSelector": selector}
        found = self._call("GET", path, what=f"list {kind}", query=query, absent={}) or {}
        return [{**item, "apiVersion": api_version, "kind": kind} for item in found["items"]]

    def require_namespace(self) -> None:
        """Raises ClusterError when the namespace is not there."""
        path = f"/api/v1/namespaces/{self.namespace}"
        try:
            found = self._call("GET", path, what=f"read namespace {self.namespace}", absent=None)
        except Forbidden:  # a role of the namespace need not see the namespace itself
            return
        if found is None:
            raise ClusterError(
                f"{self.host} has no namespace {self.namespace}.",
                hint="Make it (infra/kustomize does), or set namespace in the deployment settings.",
            )

    def _path(self, manifest: Manifest) -> str:
        kind = self.kind(manifest["apiVersion"], manifest["kind"])
        return kind.path(self.namespace, manifest["metadata"]["name"])

    def _call(
        self,
        method: str,
        path: str,
        *,
        what: str,
        query: dict[str, str] | None = None,
        body: Manifest | None = None,
        absent: Any = ...,
    ) -> Manifest | None:
        """One request, repeated when it makes sense; ``absent`` is returned on 404 when given."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        for pause in (*_PAUSES_S, None):
            try:
                response, _, _ = self._client.call_api(
                    path,
                    method,
                    query_params=list((query or {}).items()),
                    header_params={
                        "Accept": "application/json",
                        "Content-Type": "application/apply-patch+yaml",
                    },
                    body=body,
                    auth_settings=["BearerToken"],
                    _preload_content=False,
                    _request_timeout=self._timeout_s,
                )
                found: Manifest = json.loads(response.data)
                return found
            except ApiException as error:
                if error.status == 404 and absent is not ...:
                    return absent
                if error.status not in _AGAIN or pause is None:
                    raise refusal(error.status, error.body or "", what, self.namespace) from error
            except (HTTPError, OSError) as error:
                if pause is None:
                    raise ClusterError(
                        f"No answer from the API server {self.host} ({_plain(error)}).",
                        hint="Check the network and the kubeconfig's address.",
                    ) from error
            time.sleep(pause)
        raise AssertionError("unreachable")


def connect(
    *, namespace: str, kubeconfig: Path | None = None, context: str = "", timeout_s: float = 30.0
) -> Cluster:
    """The cluster of a kubeconfig (``--kubeconfig``, KUBECONFIG, ``~/.kube/config``) or of this pod.

    Raises:
        EnvironmentProblem: nothing says which cluster, or the kubeconfig cannot be used.
    """
    from kubernetes import client, config

    logging.getLogger("urllib3").setLevel(logging.ERROR)
    settings = client.Configuration()
    settings.retries = False  # ours, which know what may be repeated
    try:
        if kubeconfig is None and not _default_kubeconfig():
            config.load_incluster_config(client_configuration=settings)
        else:
            config.load_kube_config(
                str(kubeconfig) if kubeconfig else None,
                context=context or None,
                client_configuration=settings,
                persist_config=False,
            )
    except (config.ConfigException, OSError, ValueError, TypeError, yaml.YAMLError) as error:
        where = f"{kubeconfig}: " if kubeconfig else ""
        raise EnvironmentProblem(f"{where}No cluster: {error}", hint=_NO_CLUSTER) from error
    return Cluster(client.ApiClient(settings), namespace=namespace, timeout_s=timeout_s)


def _default_kubeconfig() -> bool:
    from kubernetes.config import kube_config

    files = str(kube_config.KUBE_CONFIG_DEFAULT_LOCATION).split(":")
    return any(Path(file).expanduser().is_file() for file in files if file)


def _hint(api_version: str) -> str:
    owner = {
        "serving.kserve.io": "KServe 0.20 or later",
        "gateway.networking.k8s.io": "the Gateway API",
        "keda.sh": "KEDA (or set scaling.by to hpa)",
    }.get(api_version.partition("/")[0])
    return f"Install {owner}." if owner else "Check that the API server is a Kubernetes cluster's."


def _plain(error: BaseException) -> str:
    """urllib3's message without its object's address."""
    return str(error).rpartition(">: ")[2] or type(error).__name__
