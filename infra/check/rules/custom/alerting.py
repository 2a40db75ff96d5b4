"""AlertmanagerConfig by itself: its definition is not at hand, so this says what the API server would."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hemix.infra.check.rules.values import one_of

Manifest = dict[str, Any]
_SPEC = ("route", "receivers", "inhibitRules", "muteTimeIntervals")
_ROUTE = ("receiver", "groupBy", "groupWait", "groupInterval", "repeatInterval", "matchers",
          "continue", "routes", "muteTimeIntervals", "activeTimeIntervals")  # fmt: skip
_RECEIVER = ("name", "webhookConfigs", "slackConfigs", "pagerdutyConfigs", "opsgenieConfigs",
             "emailConfigs", "victoropsConfigs", "pushoverConfigs", "telegramConfigs", "snsConfigs",
             "wechatConfigs", "discordConfigs", "webexConfigs", "msteamsConfigs", "msteamsv2Configs",
             "rocketchatConfigs")  # fmt: skip
_WEBHOOK = ("url", "urlSecret", "sendResolved", "httpConfig", "maxAlerts", "timeout")
_MATCHER = ("name", "value", "matchType", "regex")
_TYPES = ("=", "!=", "=~", "!~")
_DURATION = re.compile(r"([0-9]+(ms|s|m|h|d|w|y))+")


def problems(manifest: Manifest) -> Iterator[str]:
    """What holds for an AlertmanagerConfig (monitoring.coreos.com/v1alpha1)."""
    if manifest.get("kind") != "AlertmanagerConfig":
        return
    spec = manifest.get("spec") or {}
    yield from _keys("spec", spec, _SPEC)
    receivers = spec.get("receivers") or ()
    names = [str(one.get("name")) for one in receivers]
    for name in sorted({one for one in names if names.count(one) > 1}):
        yield f"spec.receivers: {name} stands twice"
    for number, receiver in enumerate(receivers):
        yield from _receiver(f"spec.receivers[{number}]", receiver)
    if not spec.get("route"):
        yield "spec.route: is missing: no alert goes to a receiver"
    else:
        yield from _route("spec.route", spec["route"], names, top=True)


def _keys(at: str, found: Manifest, known: tuple[str, ...]) -> Iterator[str]:
    for key in sorted(set(found) - set(known)):
        yield f"{at}.{key}: is no field of an AlertmanagerConfig; {', '.join(known)} are"


def _receiver(at: str, receiver: Manifest) -> Iterator[str]:
    yield from _keys(at, receiver, _RECEIVER)
    if not any(receiver.get(key) for key in receiver if key != "name"):
        yield f"{at}: {receiver.get('name')} tells no one: it has no webhookConfigs or the like"
    for number, hook in enumerate(receiver.get("webhookConfigs") or ()):
        where = f"{at}.webhookConfigs[{number}]"
        yield from _keys(where, hook, _WEBHOOK)
        secret = hook.get("urlSecret") or {}
        if not hook.get("url") and not (secret.get("name") and secret.get("key")):
            yield f"{where}: has neither url nor urlSecret with a name and a key"
        if hook.get("url"):
            yield f"{where}.url: the address of a webhook is a secret: urlSecret: {{name: hemix-notify, key: url}}"


def _route(at: str, route: Manifest, receivers: list[str], *, top: bool = False) -> Iterator[str]:
    yield from _keys(at, route, _ROUTE)
    if (top or route.get("receiver")) and route.get("receiver") not in receivers:
        yield f"{at}.receiver: {route.get('receiver')!r} is no receiver; {', '.join(receivers) or 'none'} is"
    for key in ("groupWait", "groupInterval", "repeatInterval"):
        if key in route and not _DURATION.fullmatch(str(route[key])):
            yield f"{at}.{key}: {route[key]!r} is no duration, such as 30s, 5m, 12h"
    for number, matcher in enumerate(route.get("matchers") or ()):
        where = f"{at}.matchers[{number}]"
        yield from _keys(where, matcher, _MATCHER)
        yield from one_of(f"{where}.matchType", matcher.get("matchType"), _TYPES)
        if not matcher.get("name"):
            yield f"{where}: names no label"
        if "~" in str(matcher.get("matchType")) or matcher.get("regex"):
            try:
                re.compile(str(matcher.get("value", "")))
            except re.error as error:
                yield f"{where}.value: {matcher.get('value')!r} is no expression ({error})"
    for number, inner in enumerate(route.get("routes") or ()):
        yield from _route(f"{at}.routes[{number}]", inner, receivers)
