"""A small Trainer of the tests: it gives TrainJobs the status that Kubeflow Trainer would give them.

It can also do what they ask: start their command once for every node, here, with the variables that
Trainer sets in a node's pod.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.serving.kubernetes.core import Server

Json = dict[str, Any]
PATH = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/{}/trainjobs"


@dataclass
class Trainer:
    """Runs in a thread between :meth:`start` and :meth:`stop`, for one namespace.

    ``outcome``: the condition that a job ends with (``Complete``, ``Failed``), ``""`` for none, or
    ``run`` to start its nodes here and go by their exit codes.
    """

    server: Server
    namespace: str
    outcome: str
    logs: Path
    seen: list[Json] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    _end: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _nodes: dict[str, list[subprocess.Popen[bytes]]] = field(default_factory=dict)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        assert self._thread is not None
        self._thread.join()
        for node in [node for nodes in self._nodes.values() for node in nodes]:
            node.kill()
            node.wait()
        assert not self.errors, self.errors

    def jobs(self) -> list[Json]:
        found: list[Json] = self.server.json("GET", PATH.format(self.namespace))["items"]
        return found

    def _run(self) -> None:
        while not self._end.wait(0.2):
            try:
                for job in self.jobs():
                    self._tend(job)
            except BaseException as error:  # told by stop()
                self.errors.append(error)
                return

    def _tend(self, job: Json) -> None:
        uid = job["metadata"]["uid"]
        if not any(known["metadata"]["uid"] == uid for known in self.seen):
            self.seen.append(job)
        if _ended(job):
            return
        if self.outcome in ("Complete", "Failed"):
            self._say(job, self.outcome)
        elif self.outcome == "run":
            if uid not in self._nodes:
                self._nodes[uid] = self._start(job)
                self._say(job)
            codes = [node.poll() for node in self._nodes[uid]]
            if None not in codes:
                self._say(job, "Complete" if not any(codes) else "Failed")

    def _start(self, job: Json) -> list[subprocess.Popen[bytes]]:
        trainer = job["spec"]["trainer"]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        given = {v["name"]: v["value"] for v in trainer["env"] if "value" in v}
        fields = [v for v in trainer["env"] if "fieldRef" in v.get("valueFrom", {})]
        assert {v["valueFrom"]["fieldRef"]["fieldPath"] for v in fields} == {"status.podIP"}
        given |= {v["name"]: "127.0.0.1" for v in fields}
        given |= {
            "PET_NNODES": str(trainer["numNodes"]),
            "PET_NPROC_PER_NODE": str(trainer["numProcPerNode"]),
            "PET_MASTER_ADDR": "127.0.0.1",
            "PET_MASTER_PORT": port,
            "GLOO_SOCKET_IFNAME": "lo",
            "OMP_NUM_THREADS": "1",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        command = [*trainer["command"], *trainer["args"]]
        for name, value in given.items():  # as Kubernetes fills them in
            command = [word.replace(f"$({name})", value) for word in command]
        nodes = []
        for number in range(trainer["numNodes"]):
            cache = self.logs / f"cache-{number}"
            own = {"PET_NODE_RANK": str(number), "HEMIX_CACHE": str(cache)}
            with (self.logs / f"node-{number}.log").open("wb") as log:
                nodes.append(
                    subprocess.Popen(
                        command,
                        env={**os.environ, **given, **own},
                        cwd=Path(__file__).parents[2],
                        stdout=log,
                        stderr=subprocess.STDOUT,
                    )
                )
        return nodes

    def _say(self, job: Json, kind: str = "") -> None:
        nodes = {
            "name": "node",
            "active": 1,
            "ready": 1,
            "failed": 0,
            "succeeded": 0,
            "suspended": 0,
        }
        status: Json = {"jobsStatus": [nodes]}
        if kind:
            condition = {
                "type": kind,
                "status": "True",
                "reason": "JobsFailed" if kind == "Failed" else "JobsCompleted",
                "message": "jobset failed due to one or more job failures"
                if kind == "Failed"
                else "jobset completed successfully",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
            status["conditions"] = [condition]
        name = job["metadata"]["name"]
        code, answer = self.server.ask(
            "PATCH",
            f"{PATH.format(self.namespace)}/{name}/status",
            json.dumps({"status": status}).encode(),
            "application/merge-patch+json",
        )
        assert code in (200, 404), answer  # it may have been deleted since


def _ended(job: Json) -> bool:
    conditions = (job.get("status") or {}).get("conditions", ())
    return any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in conditions)
