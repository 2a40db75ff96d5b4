"""What an API server's refusal means: its Status object to an error that says what to do."""

from __future__ import annotations

import json
import re
from typing import Any

from hemix.serving.kubernetes.errors import ClusterError, FieldConflict, Forbidden


def refusal(code: int, body: str | bytes, what: str, namespace: str) -> ClusterError:
    """The error of an answer that is not a success.

    Args:
        code: HTTP status.
        body: a Kubernetes ``Status`` as JSON, or whatever stood in the way sent.
        what: what was being done: ``apply InferenceService ranker``.
        namespace: for the hint.
    """
    status = _status(body)
    message = str(status.get("message", "")).strip()
    causes: list[dict[str, str]] = (status.get("details") or {}).get("causes") or []
    if code == 401:
        return ClusterError(
            f"Cannot {what}: the API server does not accept the credentials.",
            hint="Log in again: the token may have expired.",
        )
    if code == 403:
        return Forbidden(
            f"Cannot {what}: {message or 'forbidden'}.",
            hint="Use the service account hemix-deployer, or give its role to this user (infra/).",
        )
    if code == 404 and "namespaces" in message:
        return ClusterError(
            f"Cannot {what}: there is no namespace {namespace}.",
            hint="Make it, or set namespace in the deployment settings.",
        )
    conflicts = [c for c in causes if c.get("reason") == "FieldManagerConflict"]
    if code == 409 and conflicts:
        return FieldConflict(
            f"Cannot {what}: {'; '.join(map(_owner, conflicts))}.",
            hint="Take the fields over with --force, or remove them there.",
        )
    if code in (400, 422, 500) and causes:
        fields = "; ".join(f"{c.get('field', '')}: {c.get('message', '')}" for c in causes)
        return ClusterError(f"Cannot {what}: {fields}.", hint="The cluster finds this invalid.")
    if code == 500 and "typed patch object" in message:  # an unknown field, or a value's type
        reason = message.rpartition("): ")[2]
        return ClusterError(f"Cannot {what}: {reason}.", hint="The cluster finds this invalid.")
    return ClusterError(f"Cannot {what}: the API server answered {code}: {message or 'nothing'}.")


def _owner(cause: dict[str, str]) -> str:
    found = re.search(r'conflict with "([^"]*)"', cause.get("message", ""))
    return f"{cause.get('field', '?')} belongs to {found[1] if found else 'another manager'}"


def _status(body: str | bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        text = body.decode(errors="replace") if isinstance(body, bytes) else body
        return {"message": text[:200]}
    return found if isinstance(found, dict) else {}
