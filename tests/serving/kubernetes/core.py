"""Core types on an API server that has none: a loopback proxy keeps them as stand-in custom resources.

ConfigMaps, PodDisruptionBudgets, Deployments and Namespaces are sent to custom resources of other
groups on the same real server, so that server-side apply, owners, versions and labels of them are
real; their schemas are not (kubernetes-validate checks those elsewhere). Everything else passes
through as it is. The proxy can also refuse for a while, as a restarting API server does.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import urllib3
import yaml

ANY = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
KINDS = (
    ("v1", "core.hemix.test/v1", "ConfigMap", "configmaps", True, {"data": TEXTS}),
    ("v1", "core.hemix.test/v1", "Namespace", "testnamespaces", False, {}),
    ("v1", "core.hemix.test/v1", "Pod", "pods", True, {"spec": ANY, "status": ANY}),
    ("policy/v1", "policy.hemix.test/v1", "PodDisruptionBudget", "poddisruptionbudgets", True, {"spec": ANY}),
    ("apps/v1", "apps.hemix.test/v1", "Deployment", "deployments", True, {"spec": ANY, "status": ANY}),
)  # fmt: skip
GROUPS = {real: stand_in for real, stand_in, *_ in KINDS}
BACK = {stand_in: real for real, stand_in in GROUPS.items()}


@dataclass
class Server:
    """The API server of a kubeconfig with client certificates, asked directly."""

    kubeconfig: Path
    address: str = ""
    _pool: urllib3.PoolManager = field(init=False)

    def __post_init__(self) -> None:
        config = yaml.safe_load(self.kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.address = cluster["server"]
        self._pool = urllib3.PoolManager(
            ca_certs=cluster["certificate-authority"],
            cert_file=user["client-certificate"],
            key_file=user["client-key"],
            maxsize=8,
        )

    def ask(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/json"
    ) -> tuple[int, bytes]:
        answer = self._pool.request(
            method, self.address + path, body=body, headers={"Content-Type": kind}, retries=False
        )
        return answer.status, answer.data

    def json(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        data = None if body is None else json.dumps(body).encode()
        status, answer = self.ask(method, path, data, kind)
        assert status < 300 or (method == "GET" and status == 404), (method, path, answer)
        return json.loads(answer) if status != 404 else None


def install_stand_ins(server: Server) -> None:
    """Make the stand-in kinds; again is no error."""
    for _, stand_in, kind, plural, namespaced, properties in KINDS:
        group, version = stand_in.split("/")
        name = f"{plural}.{group}"
        definition = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": name},
            "spec": {
                "group": group,
                "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
                "scope": "Namespaced" if namespaced else "Cluster",
                "versions": [
                    {
                        "name": version,
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
                    }
                ],
            },
        }
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
        apply = f"{path}?fieldManager=tests&force=true"
        server.json("PATCH", apply, definition, "application/apply-patch+yaml")
        for _ in range(200):
            known = server.json("GET", f"/apis/{stand_in}") or {}
            if any(found["name"] == plural for found in known.get("resources", ())):
                break
            threading.Event().wait(0.05)
        else:
            raise AssertionError(f"{name} did not come up")


@dataclass
class Proxy:
    """A running proxy. ``refuse`` counts down: so many requests get 503; ``cut``: all lose their way."""

    url: str
    refuse: int = 0
    cut: bool = False
    seen: list[str] = field(default_factory=list)


@contextlib.contextmanager
def core_proxy(server: Server) -> Iterator[Proxy]:
    """Serve on loopback while the block runs."""
    state = Proxy("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            state.seen.append(f"{self.command} {self.path}")
            if state.cut:
                self.close_connection = True
                return
            if state.refuse > 0:
                state.refuse -= 1
                self._send(503, b'{"kind":"Status","message":"starting","code":503}')
                return
            path = _forth(self.path)
            kind = self.headers.get("Content-Type", "application/json")
            status, answer = server.ask(self.command, path, _rewritten(body, GROUPS), kind)
            self._send(status, _rewritten(answer, BACK) or b"")

        do_GET = do_PATCH = do_DELETE = do_PUT = do_POST = _any

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    state.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def _forth(path: str) -> str:
    if re.fullmatch(r"/api/v1/namespaces/[^/]+", path):
        return path.replace("/api/v1/namespaces", "/apis/core.hemix.test/v1/testnamespaces")
    if path.startswith("/api/v1"):
        return "/apis/core.hemix.test/v1" + path.removeprefix("/api/v1")
    for real, stand_in in GROUPS.items():
        if path.startswith(f"/apis/{real}"):
            return f"/apis/{stand_in}" + path.removeprefix(f"/apis/{real}")
    return path


def _rewritten(body: bytes, names: dict[str, str]) -> bytes | None:
    if not body:
        return None
    try:
        found = json.loads(body)
    except ValueError:
        return body
    for thing in (found, *(found.get("items") or ())):
        for part in (thing, *(thing.get("metadata", {}).get("managedFields") or ())):
            if part.get("apiVersion") in names:
                part["apiVersion"] = names[part["apiVersion"]]
    return json.dumps(found).encode()
