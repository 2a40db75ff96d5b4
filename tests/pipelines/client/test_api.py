"""Every way a server can fail is one error that names it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from hemix.errors import EnvironmentProblem
from hemix.pipelines.kfp_client import experiments
from hemix.pipelines.kfp_client.api import NotFound, PipelinesApi
from hemix.pipelines.kfp_client.connection import Connection
from hemix.pipelines.kfp_client.errors import AccessDenied, PipelineApiError
from tests.kfp_server import KfpServer
from tests.pipelines.client.conftest import TOKEN, Start


def api(connection: Connection) -> PipelinesApi:
    return PipelinesApi(connection, sleep=lambda seconds: None)


@pytest.mark.parametrize("token", ["", "expired"])
def test_without_a_valid_token(kfp: KfpServer, token: str) -> None:
    with pytest.raises(AccessDenied, match="--token-file") as caught:
        experiments.find(api(Connection(host=kfp.url, token=token)), "x")
    assert kfp.url in str(caught.value)
    assert ("expired" in str(caught.value)) == bool(token)
    assert caught.value.exit_code == 11


def test_a_token_that_was_renewed_in_its_file_is_taken(kfp: KfpServer, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("old")
    kfp.tokens = {"old"}
    speaking = api(Connection(host=kfp.url, token_file=path))
    assert experiments.find(speaking, "x") is None
    kfp.tokens = {"new"}
    path.write_text("new")
    assert experiments.find(speaking, "x") is None
    kfp.tokens = {"newer"}
    with pytest.raises(AccessDenied):
        experiments.find(speaking, "x")


def test_nobody_answers(unused_port: int) -> None:
    with pytest.raises(EnvironmentProblem, match=rf"127.0.0.1:{unused_port} does not answer"):
        experiments.find(api(Connection(host=f"http://127.0.0.1:{unused_port}")), "x")


def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(EnvironmentProblem, match=r"no-such-host\.invalid"):
        experiments.find(api(Connection(host="http://no-such-host.invalid")), "x")


def test_a_server_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(EnvironmentProblem, match="does not answer"):
            experiments.find(api(Connection(host=host, read_s=0.1)), "x")


@pytest.mark.parametrize("status", [302, 200])
def test_a_login_page_is_not_the_api(status: int, login_page: str) -> None:
    with pytest.raises(AccessDenied, match="login page"):
        experiments.find(api(Connection(host=f"{login_page}/{status}")), "x")


def test_https_to_a_server_without_it(kfp: KfpServer) -> None:
    with pytest.raises(EnvironmentProblem, match="safely"):
        experiments.find(api(Connection(host=kfp.url.replace("http:", "https:"))), "x")


def test_a_certificate_is_checked_against_those_that_are_trusted(
    kfp: KfpServer, certificate: Path
) -> None:
    kfp.speak_tls(certificate, certificate.with_name("key.pem"))
    host = kfp.url.replace("http:", "https:")
    trusting = Connection(host=host, token=TOKEN, ca_cert=certificate)
    assert experiments.find(api(trusting), "x") is None
    with pytest.raises(EnvironmentProblem, match=r"self-signed certificate.*--ca-cert"):
        experiments.find(api(Connection(host=host, token=TOKEN)), "x")


def test_a_busy_server_is_asked_again(kfp: KfpServer, connection: Connection) -> None:
    kfp.fail_next((503, "upstream connect error"), (503, "upstream connect error"))
    assert experiments.find(api(connection), "x") is None


def test_a_server_that_stays_busy_is_an_error(kfp: KfpServer, connection: Connection) -> None:
    kfp.fail_next(*[(503, "upstream connect error")] * 9)
    with pytest.raises(PipelineApiError, match="answered 503: upstream connect error"):
        experiments.find(api(connection), "x")


def test_a_write_is_never_sent_twice(kfp: KfpServer, connection: Connection) -> None:
    speaking = api(connection)
    assert speaking.namespace is None
    kfp.calls.clear()
    kfp.fail_next((503, "away"))
    with pytest.raises(PipelineApiError, match="away"):
        speaking.write(speaking.pipelines.pipeline_service_delete_pipeline, pipeline_id="x")
    assert kfp.calls == []
    with pytest.raises(NotFound):
        speaking.write(speaking.pipelines.pipeline_service_delete_pipeline, pipeline_id="x")


def test_several_namespaces_need_one(start: Start) -> None:
    server = start(multi_user=True, namespaces=("hemix",))
    with pytest.raises(EnvironmentProblem, match="--namespace"):
        experiments.find(api(Connection(host=server.url, token=TOKEN)), "x")
    with pytest.raises(AccessDenied, match="forbids this in namespace other"):
        experiments.find(api(Connection(host=server.url, token=TOKEN, namespace="other")), "x")
    ours = api(Connection(host=server.url, token=TOKEN, namespace="hemix"))
    made = experiments.find_or_create(ours, "x")
    assert server.experiments[made]["namespace"] == "hemix"
    assert experiments.require(ours, "x") == made


def test_all_pages_are_read(kfp: KfpServer, connection: Connection) -> None:
    for i in range(230):
        kfp.create_experiment({"display_name": f"e{i}"})
    speaking = api(connection)
    method = speaking.experiments.experiment_service_list_experiments
    assert len(list(speaking.all_of(method, "experiments"))) == 230


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1 that nobody signed, beside its key."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not on this machine")
    path = tmp_path / "certificate.pem"
    make = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=kfp"
    subprocess.run(
        [
            *(program, *make.split(), "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(tmp_path / "key.pem"), "-out", str(path)),
        ],
        check=True,
        capture_output=True,
    )
    return path


@pytest.fixture
def login_page() -> Iterator[str]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = b"<html>Log in</html>"
            redirects = self.path.startswith("/302")
            self.send_response(302 if redirects else 200)
            if redirects:
                self.send_header("Location", "/dex/auth")
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            return None

    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
