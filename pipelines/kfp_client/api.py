"""Calls to the Kubeflow Pipelines API: every failure becomes one clear error.

The requests themselves are those of ``kfp_server_api``, the client that the KFP SDK stands on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any

from hemix.errors import EnvironmentProblem, HemixError
from hemix.pipelines.kfp_client.connection import Connection
from hemix.pipelines.kfp_client.errors import AccessDenied, PipelineApiError

_PAGE = 100
_PASSING = (429, 502, 503, 504)  # the server is there and cannot just now
_WAITS_S = (0.5, 2.0, 5.0)
_REFUSED = (401, 403)
_LOGIN = (301, 302, 303, 307, 308)  # what a login gateway answers to a request without a session


class NotFound(PipelineApiError):
    """The server has no such thing."""


class AlreadyExists(PipelineApiError):
    """The server has such a thing already."""


class PipelinesApi:
    """A server, spoken to with the token of ``connection``.

    Reads are tried again when the server is busy or away for a moment; writes never are, for the
    first attempt may have worked. A refused token is read from its file once more.
    """

    def __init__(
        self, connection: Connection, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        import kfp_server_api

        self.connection = connection
        self._sleep = sleep
        self._configuration = _configuration(connection)
        self._client = kfp_server_api.ApiClient(self._configuration)
        self.pipelines = kfp_server_api.PipelineServiceApi(self._client)
        self.uploads = kfp_server_api.PipelineUploadServiceApi(self._client)
        self.experiments = kfp_server_api.ExperimentServiceApi(self._client)
        self.runs = kfp_server_api.RunServiceApi(self._client)
        self.recurring_runs = kfp_server_api.RecurringRunServiceApi(self._client)
        self._health = kfp_server_api.HealthzServiceApi(self._client)

    @cached_property
    def namespace(self) -> str | None:
        """The namespace to ask for; None where the server serves one user only and knows none.

        Raises:
            EnvironmentProblem: the server serves several namespaces and none is named.
        """
        health = self.read(self._health.healthz_service_get_healthz)
        if not health.multi_user:
            return None
        if not self.connection.namespace:
            raise EnvironmentProblem(
                f"{self.connection.host} serves several namespaces and none is named.",
                hint="Give --namespace NAME, or set HEMIX_KFP_NAMESPACE.",
            )
        return self.connection.namespace

    @property
    def now(self) -> datetime:
        """The time by the server's clock, which its records are written by, at its last answer."""
        response = self._client.last_response
        told = response.getheader("date") if response is not None else None
        return parsedate_to_datetime(told) if told else datetime.now(UTC)

    def read(self, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call a method that changes nothing.

        Raises:
            HemixError: as :meth:`write` does, after the last attempt.
        """
        for wait_s in _WAITS_S:
            try:
                return self._call(method, *arguments, **named)
            except _Passing:
                self._sleep(wait_s)
        return self.write(method, *arguments, **named)

    def write(self, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call a method that changes something.

        Raises:
            AccessDenied: the token is refused.
            NotFound, AlreadyExists, PipelineApiError: the server's answer.
            EnvironmentProblem: no answer, or none in time.
        """
        try:
            return self._call(method, *arguments, **named)
        except _Passing as error:
            raise error.meaning from error

    def all_of(self, method: Callable[..., Any], field: str, **named: Any) -> Iterator[Any]:
        """Every thing of all pages that a list method answers."""
        token = ""
        while True:
            page = self.read(method, page_size=_PAGE, page_token=token, **named)
            yield from getattr(page, field) or ()
            token = page.next_page_token or ""
            if not token:
                return

    def _call(self, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        import kfp_server_api

        try:
            return self._once(method, *arguments, **named)
        except kfp_server_api.ApiException as error:
            if error.status in _REFUSED and self._read_token_again():
                try:
                    return self._once(method, *arguments, **named)
                except kfp_server_api.ApiException as again:
                    raise self._meaning(again) from again
            raise self._meaning(error) from error

    def _once(self, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        import urllib3

        timeout = (self.connection.connect_s, self.connection.read_s)
        try:
            answer = method(*arguments, _request_timeout=timeout, **named)
        except urllib3.exceptions.HTTPError as error:
            raise _Passing(self._unreachable(error)) from error
        kind = self._client.last_response.getheader("content-type") or ""
        if "json" not in kind:
            raise self._not_the_api(kind)
        return answer

    def _read_token_again(self) -> bool:
        """Whether the token's file now holds another token than the one that was refused."""
        token = self.connection.read_token()
        if not token or token == self._configuration.api_key.get("authorization"):
            return False
        self._configuration.api_key["authorization"] = token
        return True

    # ---- what failures mean --------------------------------------------------------------------

    def _meaning(self, error: Any) -> Exception:
        host = self.connection.host
        said = _message(error.body) or error.reason or "no reason given"
        if error.status == 401:
            return self._refused(said)
        if error.status == 403:
            return AccessDenied(
                f"{host} forbids this{self._in_namespace()}: {said}",
                hint="Ask for the right in this namespace, or choose another with --namespace.",
            )
        if error.status in _LOGIN:
            return self._not_the_api("a redirection to a login page")
        if error.status == 404:
            return NotFound(f"{host} does not know it: {said}", hint="Is --host the right server?")
        if error.status == 409:
            return AlreadyExists(f"{host} has it already: {said}")
        answer = PipelineApiError(f"{host} answered {error.status}: {said}")
        return _Passing(answer) if error.status in _PASSING else answer

    def _refused(self, said: str) -> HemixError:
        token = self._configuration.api_key.get("authorization")
        what = "the token has expired or is not valid" if token else "a token is needed"
        return AccessDenied(
            f"{self.connection.host} does not let us in: {what} ({said}).",
            hint="Get a new one and give it with --token-file or HEMIX_KFP_TOKEN.",
        )

    def _not_the_api(self, what: str) -> HemixError:
        return AccessDenied(
            f"{self.connection.host} answered with {what or 'no content type'}, not as the Kubeflow "
            "Pipelines API does.",
            hint="A login page stands before it: give --token-file. Or --host is another server's.",
        )

    def _unreachable(self, error: Exception) -> HemixError:
        import urllib3

        reason = getattr(error, "reason", None) or error
        if isinstance(reason, urllib3.exceptions.SSLError):
            return EnvironmentProblem(
                f"{self.connection.host} cannot be spoken to safely ({_why(reason)}).",
                hint="Give the certificate to trust with --ca-cert, or an http:// address.",
            )
        return EnvironmentProblem(
            f"{self.connection.host} does not answer ({_why(reason)}).",
            hint="Check --host and the network, or kubectl port-forward.",
        )

    def _in_namespace(self) -> str:
        return f" in namespace {self.connection.namespace}" if self.connection.namespace else ""


class _Passing(Exception):
    """A failure that may be gone at the next attempt; ``meaning`` is what it is if it is not."""

    def __init__(self, meaning: HemixError) -> None:
        super().__init__(str(meaning))
        self.meaning = meaning


def _configuration(connection: Connection) -> Any:
    import kfp_server_api
    import urllib3

    if connection.kubeconfig is not None:
        configuration = connection.kubeconfig.configuration
    else:
        configuration = kfp_server_api.Configuration()
    configuration.host = connection.host
    token = connection.read_token()
    if token:
        configuration.api_key["authorization"] = token
        configuration.api_key_prefix["authorization"] = "Bearer"
    if connection.ca_cert:
        configuration.ssl_ca_cert = str(connection.ca_cert)
    # We try again ourselves; a redirection is an answer (a login page), not a way to go.
    configuration.retries = urllib3.Retry(
        total=None, connect=0, read=0, other=0, status=0, redirect=False, raise_on_redirect=False
    )
    return configuration


def _message(body: Any) -> str:
    """The reason in an error's body, on one line."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")
    try:
        said = json.loads(text)
        text = said.get("message") or said.get("error_message") or said.get("error") or text
    except (ValueError, AttributeError):
        pass
    return " ".join(str(text).split())[:300].rstrip(".")


def _why(reason: Any) -> str:
    """The last, plainest part of what the HTTP library says."""
    text = str(reason)
    return text.rsplit(": ", 1)[-1] if ": " in text else text
