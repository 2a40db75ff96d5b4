"""Alerts on their way to a person: routes that some alert of ours takes, keys that are in the secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hemix.infra.check.rules.named_by_pods import secrets
from hemix.infra.check.rules.own import mend
from hemix.infra.check.rules.world import World, title_of

Manifest = dict[str, Any]
_SECRETS = {"hemix-notify": {"url"}}
"""Documented in the component ``notify``."""
_TOLD = ("critical", "warning")
"""What a person is to be told of; ``info`` is for those who look."""


def problems(world: World) -> Iterator[str]:
    """What Alertmanager takes and no one is told of."""
    alerts = [
        {"alertname": str(rule["alert"]), "namespace": world.home, **(rule.get("labels") or {})}
        for manifest in world.of("PrometheusRule")
        for group in (manifest.get("spec") or {}).get("groups") or ()
        for rule in group.get("rules") or ()
        if rule.get("alert") and (rule.get("labels") or {}).get("severity") in _TOLD
    ]
    known = {**_SECRETS, **secrets()}
    for manifest in world.of("AlertmanagerConfig"):
        spec = manifest.get("spec") or {}
        for problem in (*_urls(spec, known), *_matched(spec.get("route") or {}, alerts)):
            yield f"{title_of(manifest)}: {problem}"


def _urls(spec: Manifest, known: dict[str, set[str]]) -> Iterator[str]:
    for number, receiver in enumerate(spec.get("receivers") or ()):
        for place, hook in enumerate(receiver.get("webhookConfigs") or ()):
            at = f"spec.receivers[{number}].webhookConfigs[{place}].urlSecret"
            secret = hook.get("urlSecret") or {}
            name, key = secret.get("name"), secret.get("key")
            if secret and name not in known:
                yield f"{at}: there is no secret {name}; {mend('secrets')}"
            elif secret and key not in known[str(name)]:
                yield f"{at}.key: {name} has no key {key}, only {', '.join(sorted(known[str(name)]))}"


def _matched(route: Manifest, alerts: list[dict[str, str]]) -> Iterator[str]:
    matchers = route.get("matchers") or ()
    if not alerts or any(all(_meets(one, alert) for one in matchers) for alert in alerts):
        return
    said = ", ".join(f"{m.get('name')}{_type(m)}{m.get('value', '')!r}" for m in matchers)
    levels = " or ".join(sorted({alert.get("severity", "") for alert in alerts}))
    yield f"spec.route.matchers: {said} is met by no alert of ours, so no one is told: their severity is {levels}"


def _type(matcher: Manifest) -> str:
    return str(matcher.get("matchType") or ("=~" if matcher.get("regex") else "="))


def _meets(matcher: Manifest, alert: dict[str, str]) -> bool:
    value, told = str(matcher.get("value", "")), alert.get(str(matcher.get("name")), "")
    kind = _type(matcher)
    found = re.fullmatch(value, told) is not None if "~" in kind else told == value
    return found != kind.startswith("!")
