"""The store over HTTP, on loopback."""

from __future__ import annotations

import email.parser
import email.policy
import json
import ssl
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.kfp_server.runs import Run
from tests.kfp_server.store import Body, Store, page_of
from tests.kfp_server.swagger import Operation, Refused, Swagger

_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 409: 6, 500: 13, 503: 14}


class KfpServer(Store):
    """A running server; use it as a context manager.

    Args:
        swagger: the published interface.
        tokens: those that are let in; none at all lets everybody in.
        seconds_per_look: how much time passes when a client looks at a run.
        named: as for :class:`Store`.
    """

    def __init__(
        self,
        swagger: Path,
        *,
        tokens: set[str] | None = None,
        seconds_per_look: float = 0.0,
        **named: Any,
    ) -> None:
        super().__init__(**named)
        self.swagger = Swagger(swagger)
        self.tokens = tokens or set()
        self.seconds_per_look = seconds_per_look
        self.failures: list[tuple[int, str]] = []
        self.undeletable: set[str] = set()
        self.calls: list[str] = []
        self.lock = threading.RLock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def speak_tls(self, certificate: Path, key: Path) -> None:
        """From now on speak HTTPS only."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)

    def fail_next(self, *answers: tuple[int, str]) -> None:
        """Answer the coming requests with these statuses and words."""
        self.failures.extend(answers)

    def writes(self) -> list[str]:
        """The operations that changed something, in order."""
        reads = ("_Get", "_List")
        return [name for name in self.calls if not any(part in name for part in reads)]

    def __enter__(self) -> KfpServer:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Be gone, as after a crash; again changes nothing."""
        self._http.shutdown()
        self._http.server_close()

    def answer(
        self, operation: Operation, path: dict[str, str], query: dict[str, str], body: Any
    ) -> Body:
        """What an operation answers; Refused when it does not."""
        found: Body = getattr(self, "_" + operation.name)(path, query, body)
        return found

    # ---- the operations, by their names in the interface ------------------------------------------

    def _HealthzService_GetHealthz(self, path: Any, query: Any, body: Any) -> Body:
        return {"multi_user": self.multi_user, "pipeline_store": "database"}

    def _PipelineService_CreatePipeline(self, path: Any, query: Any, body: Any) -> Body:
        return self.create_pipeline(body)

    def _PipelineService_GetPipelineByName(self, path: Any, query: Any, body: Any) -> Body:
        return self.pipeline_named(path["name"], self.namespace(query.get("namespace", "")))

    def _PipelineService_GetPipeline(self, path: Any, query: Any, body: Any) -> Body:
        return dict(self.one(self.pipelines, path["pipeline_id"], "Pipeline"))

    def _PipelineService_ListPipelines(self, path: Any, query: Any, body: Any) -> Body:
        namespace = self.namespace(query.get("namespace", ""), required=False)
        things = [p for p in self.pipelines.values() if p.get("namespace", "") == namespace]
        return page_of(things, query, "pipelines")

    def _PipelineService_DeletePipeline(self, path: Any, query: Any, body: Any) -> Body:
        self.delete_pipeline(path["pipeline_id"], query.get("cascade") == "true")
        return {}

    def _PipelineService_ListPipelineVersions(self, path: Any, query: Any, body: Any) -> Body:
        self.one(self.pipelines, path["pipeline_id"], "Pipeline")
        return page_of(self.versions_of(path["pipeline_id"]), query, "pipeline_versions")

    def _PipelineService_GetPipelineVersion(self, path: Any, query: Any, body: Any) -> Body:
        return dict(self.one(self.versions, path["pipeline_version_id"], "PipelineVersion"))

    def _UploadPipelineVersion(self, path: Any, query: Any, body: Any) -> Body:
        if not body.strip():
            raise Refused(400, "Invalid input error: the file is empty")
        name = query.get("name") or query.get("display_name", "")
        return self.upload_version(
            query.get("pipelineid", ""), name, query.get("display_name", ""), body
        )

    def _ExperimentService_CreateExperiment(self, path: Any, query: Any, body: Any) -> Body:
        return self.create_experiment(body)

    def _ExperimentService_GetExperiment(self, path: Any, query: Any, body: Any) -> Body:
        return dict(self.one(self.experiments, path["experiment_id"], "Experiment"))

    def _ExperimentService_ListExperiments(self, path: Any, query: Any, body: Any) -> Body:
        namespace = self.namespace(query.get("namespace", ""))
        things = [e for e in self.experiments.values() if e.get("namespace", "") == namespace]
        return page_of(things, query, "experiments")

    def _ExperimentService_ArchiveExperiment(self, path: Any, query: Any, body: Any) -> Body:
        self.one(self.experiments, path["experiment_id"], "Experiment")["storage_state"] = (
            "ARCHIVED"
        )
        return {}

    def _RunService_CreateRun(self, path: Any, query: Any, body: Any) -> Body:
        return self.create_run(body).told(self.now)

    def _RunService_GetRun(self, path: Any, query: Any, body: Any) -> Body:
        run: Run = self.one(self.runs, path["run_id"], "Run")
        if self.seconds_per_look:
            self.advance(self.seconds_per_look)
        return run.told(self.now)

    def _RunService_ListRuns(self, path: Any, query: Any, body: Any) -> Body:
        runs = list(self.runs.values())
        if "experiment_id" in query:
            self.one(self.experiments, query["experiment_id"], "Experiment")
            runs = [r for r in runs if r.body["experiment_id"] == query["experiment_id"]]
        else:
            namespace = self.namespace(query.get("namespace", ""))
            runs = [r for r in runs if self._namespace_of_experiment(r) == namespace]
        return page_of([run.told(self.now) for run in runs], query, "runs")

    def _RunService_DeleteRun(self, path: Any, query: Any, body: Any) -> Body:
        run: Run = self.one(self.runs, path["run_id"], "Run")
        if run.run_id in self.undeletable:
            raise Refused(500, f"InternalServerError: Failed to delete run {run.run_id}")
        del self.runs[run.run_id]
        return {}

    def _RunService_TerminateRun(self, path: Any, query: Any, body: Any) -> Body:
        self.one(self.runs, path["run_id"], "Run").terminate(self.now)
        return {}

    def _RunService_RetryRun(self, path: Any, query: Any, body: Any) -> Body:
        run: Run = self.one(self.runs, path["run_id"], "Run")
        run.retry(self.now, self.script(run.body))
        return {}

    def _RecurringRunService_CreateRecurringRun(self, path: Any, query: Any, body: Any) -> Body:
        return self.create_schedule(body).told()

    def _RecurringRunService_GetRecurringRun(self, path: Any, query: Any, body: Any) -> Body:
        told: Body = self.one(self.schedules, path["recurring_run_id"], "RecurringRun").told()
        return told

    def _RecurringRunService_ListRecurringRuns(self, path: Any, query: Any, body: Any) -> Body:
        found = list(self.schedules.values())
        if "experiment_id" in query:
            found = [s for s in found if s.body["experiment_id"] == query["experiment_id"]]
        else:
            namespace = self.namespace(query.get("namespace", ""))
            found = [s for s in found if self._namespace_of_experiment(s) == namespace]
        return page_of([s.told() for s in found], query, "recurringRuns")

    def _RecurringRunService_DisableRecurringRun(self, path: Any, query: Any, body: Any) -> Body:
        return self._switch(path["recurring_run_id"], enabled=False)

    def _RecurringRunService_EnableRecurringRun(self, path: Any, query: Any, body: Any) -> Body:
        return self._switch(path["recurring_run_id"], enabled=True)

    def _RecurringRunService_DeleteRecurringRun(self, path: Any, query: Any, body: Any) -> Body:
        self.one(self.schedules, path["recurring_run_id"], "RecurringRun")
        del self.schedules[path["recurring_run_id"]]
        return {}

    def _switch(self, recurring_run_id: str, *, enabled: bool) -> Body:
        schedule = self.one(self.schedules, recurring_run_id, "RecurringRun")
        schedule.enabled = enabled
        schedule.updated = self.now
        self.settle()
        return {}

    def _namespace_of_experiment(self, thing: Any) -> str:
        namespace: str = self.experiments[thing.body["experiment_id"]].get("namespace", "")
        return namespace


def _handler(server: KfpServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return None

        def date_time_string(self, timestamp: float | None = None) -> str:
            """The header Date is by the clock that the records are written by."""
            return super().date_time_string(server.now.timestamp())

        def _serve(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            with server.lock:
                status, body = self._decide(raw)
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = _serve

        def _decide(self, raw: bytes) -> tuple[int, Any]:
            url = urllib.parse.urlsplit(self.path)
            operation = None
            try:
                self._let_in()
                if server.failures:
                    raise Refused(*server.failures.pop(0))
                operation, path = server.swagger.find(self.command, url.path)
                query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
                server.swagger.check_query(operation, query)
                body = self._body(operation, raw)
                server.calls.append(operation.name)
                status, answer = 200, server.answer(operation, path, query, body)
            except Refused as error:
                status = error.status
                answer = {"code": _CODES[status], "message": error.message, "details": []}
            except Exception as error:  # a mistake of this server: the test must see it
                status, answer = 500, {"code": 13, "message": repr(error), "details": []}
            if operation is not None:
                server.swagger.check_answer(operation, status, answer)
            return status, answer

        def _let_in(self) -> None:
            if not server.tokens:
                return
            kind, _, token = (self.headers.get("authorization") or "").partition(" ")
            if kind != "Bearer" or token not in server.tokens:
                raise Refused(
                    401, "Unauthenticated: Request header error: there is no valid user identity"
                )

        def _body(self, operation: Operation, raw: bytes) -> Any:
            if operation.named("formData"):
                return self._file(raw)
            body = json.loads(raw) if raw else None
            server.swagger.check_body(operation, body)
            return body

        def _file(self, raw: bytes) -> str:
            head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
            message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + raw)
            for part in message.iter_parts():
                if part.get_param("name", header="content-disposition") == "uploadfile":
                    payload = part.get_payload(decode=True)
                    return payload.decode() if isinstance(payload, bytes) else ""
            raise Refused(400, "Invalid input error: there is no uploadfile")

    return Handler
