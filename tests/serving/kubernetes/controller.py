"""A small controller of the tests: it says of InferenceServices and routes what KServe would say.

It also keeps the one promise that matters to users: no version stands in the predictors file whose
predictor is not ready. Each time it looks and finds that broken, it notes it.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import Any

import yaml

from tests.serving.kubernetes.core import Server

SERVING = "/apis/serving.kserve.io/v1beta1"
GATEWAY = "/apis/gateway.networking.k8s.io/v1"
Json = dict[str, Any]


@dataclass
class Controller:
    """Runs in a thread between :meth:`start` and :meth:`stop`, for one namespace.

    Args:
        failing: names of InferenceServices that never become ready.
        bad_images: images whose new pods never become ready; the old pods serve on, and the
            condition Ready stays true, as KServe leaves it.
        available: names of InferenceServices -> how many of their pods answer; the others are lost.
        may_break: predictors that serve may stop to; the promise is then not looked at.
    """

    server: Server
    namespace: str
    failing: set[str] = field(default_factory=set)
    bad_images: set[str] = field(default_factory=set)
    available: dict[str, int] = field(default_factory=dict)
    refused_routes: bool = False
    may_break: bool = False
    broken_promises: list[str] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    _said: dict[str, Json] = field(default_factory=dict)
    _end: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        assert self._thread is not None
        self._thread.join()
        assert not self.errors, self.errors

    def _run(self) -> None:
        while not self._end.wait(0.1):
            try:
                services = self._services()
                if not self.may_break:
                    self._promise(services)
                for service in services:
                    self._serve(service)
                for route in self._all(f"{GATEWAY}/namespaces/{self.namespace}/httproutes"):
                    self._route(route)
            except BaseException as error:  # told by stop()
                self.errors.append(error)
                return

    def _services(self) -> list[Json]:
        return self._all(f"{SERVING}/namespaces/{self.namespace}/inferenceservices")

    def _all(self, path: str) -> list[Json]:
        found: list[Json] = self.server.json("GET", path)["items"]
        return found

    def _promise(self, services: list[Json]) -> None:
        path = f"/apis/core.hemix.test/v1/namespaces/{self.namespace}/configmaps/ranker-predictors"
        file = self.server.json("GET", path)
        if file is None or "predictors.yaml" not in file["data"]:
            return
        ready = {
            service["metadata"].get("annotations", {}).get("hemix/model-version")
            for service in services
            if _condition(service, "Ready") == "True"
        }
        for predictor in yaml.safe_load(file["data"]["predictors.yaml"])["predictors"]:
            if predictor["version"] not in ready:
                self.broken_promises.append(predictor["version"])

    def _serve(self, service: Json) -> None:
        name = service["metadata"]["name"]
        works = name not in self.failing
        conditions = [
            _said("PredictorReady", works, "MinimumReplicasUnavailable"),
            _said("Ready", works, "PredictorNotReady"),
        ]
        status: Json = {"conditions": conditions, "deploymentMode": "Standard"}
        if service["spec"].get("canary"):
            conditions.append(_said("CanaryReady", works, "CanaryNotReady"))
        if not works:
            status["modelStatus"] = {
                "transitionStatus": "BlockedByFailedLoad",
                "lastFailureInfo": {"reason": "ModelLoadFailed", "message": "no such bucket"},
            }
        if _plain(service.get("status")) != _plain(status):
            self._status(f"{SERVING}/namespaces/{self.namespace}/inferenceservices/{name}", status)
        self._deployment(service)

    def _deployment(self, service: Json) -> None:
        name = service["metadata"]["name"]
        predictor = service["spec"]["predictor"]
        image = (predictor.get("containers") or [{}])[0].get("image", "")
        wanted = predictor["minReplicas"]
        stuck = image in self.bad_images
        new = {
            "apiVersion": "apps.hemix.test/v1",
            "kind": "Deployment",
            "metadata": {
                "name": f"{name}-predictor",
                "labels": {"serving.kserve.io/inferenceservice": name},
                "ownerReferences": [_owner(service)],
            },
            "spec": {"replicas": wanted, "image": image},
            "status": {
                "observedGeneration": 1_000_000,  # the stand-in has no status subresource
                "replicas": wanted + (1 if stuck else 0),
                "updatedReplicas": 1 if stuck else wanted,
                "availableReplicas": self.available.get(
                    name, 0 if name in self.failing else wanted
                ),
            },
        }
        if self._said.get(name) == new:
            return
        self._said[name] = new
        path = f"/apis/apps.hemix.test/v1/namespaces/{self.namespace}/deployments/{name}-predictor"
        query = "?fieldManager=controller&force=true"
        self.server.json("PATCH", path + query, new, "application/apply-patch+yaml")

    def _route(self, route: Json) -> None:
        said = [
            _said("Accepted", not self.refused_routes, "NotAllowedByListeners"),
            _said("ResolvedRefs", True, "ResolvedRefs"),
        ]
        parents = [
            {
                "parentRef": {"name": parent["name"]},
                "controllerName": "hemix.test/gateway",
                "conditions": said,
            }
            for parent in route["spec"]["parentRefs"]
        ]
        name = route["metadata"]["name"]
        if len((route.get("status") or {}).get("parents", [])) != len(parents) or (
            route["status"]["parents"][0]["conditions"][0]["status"] != said[0]["status"]
        ):
            path = f"{GATEWAY}/namespaces/{self.namespace}/httproutes/{name}"
            self._status(path, {"parents": parents})

    def _status(self, path: str, status: Json) -> None:
        body = {"status": status}
        code, answer = self.server.ask(
            "PATCH", f"{path}/status", _bytes(body), "application/merge-patch+json"
        )
        assert code in (200, 404), answer  # it may have been deleted since


def _bytes(body: Json) -> bytes:
    return json.dumps(body).encode()


def _said(kind: str, works: bool, reason: str) -> Json:
    return {
        "type": kind,
        "status": "True" if works else "False",
        "reason": "Ok" if works else reason,
        "message": "" if works else "pods are not ready",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


def _condition(service: Json, kind: str) -> str:
    conditions = (service.get("status") or {}).get("conditions", ())
    return next((c["status"] for c in conditions if c["type"] == kind), "")


def _plain(status: Json | None) -> Any:
    if not status:
        return None
    said = [(c["type"], c["status"]) for c in status.get("conditions", ())]
    return said, (status.get("modelStatus") or {}).get("transitionStatus")


def _owner(service: Json) -> Json:
    return {
        "apiVersion": service["apiVersion"],
        "kind": "InferenceService",
        "name": service["metadata"]["name"],
        "uid": service["metadata"]["uid"],
    }
