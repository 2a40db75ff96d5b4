"""Settings of redis and of Flink's log: values that are taken and then lose or hide something."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hemix.infra.check.rules.world import World, title_of

_BOUNDS = {
    "databases": (2, 1024, "features are in database 0 and events in 1"),
    "maxclients": (100, 1_000_000, "each ranker's process keeps connections of its own"),
    "auto-aof-rewrite-percentage": (10, 1000, "the file of writes would grow for ever, or be rewritten always"),
    "io-threads": (1, 16, "more threads than cores slow it down"),
    "tcp-keepalive": (10, 3600, "connections of pods that are gone would stay"),
}  # fmt: skip
_LEVELS = ("debug", "verbose", "notice", "warning", "nothing")
_LOG_LEVELS = ("OFF", "FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE", "ALL")
LOG = "log4j-console.properties"


def problems(world: World) -> Iterator[str]:
    """What redis and Flink read at their start."""
    for manifest in world.of("ConfigMap"):
        data = manifest.get("data") or {}
        if "redis.conf" in data:
            yield from (f"{title_of(manifest)}: redis.conf: {p}" for p in _redis(str(data["redis.conf"])))  # fmt: skip
        if "jobmanager" in str(data.get("config.yaml", "")):
            if LOG not in data:
                yield f"{title_of(manifest)}: data.{LOG} is missing: Flink would log nothing; put it back (infra/flink/{LOG})"
            else:
                yield from (f"{title_of(manifest)}: {LOG}: {p}" for p in _log(str(data[LOG])))


def _redis(text: str) -> Iterator[str]:
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0].startswith("#"):
            continue
        if words[0] in _BOUNDS:
            low, high, why = _BOUNDS[words[0]]
            if not words[1].isdigit() or not low <= int(words[1]) <= high:
                yield f"{words[0]} {words[1]} is not between {low} and {high}: {why}"
        if (
            words[0] == "save"
            and words[1:] != ['""']
            and (len(words) % 2 == 0 or not all(w.isdigit() for w in words[1:]))
        ):
            yield f'save {" ".join(words[1:])} is neither "" nor pairs of seconds and changes, such as 900 1'
        if words[0] == "loglevel" and words[1] not in _LEVELS:
            yield f"loglevel {words[1]} is none of {', '.join(_LEVELS)}"


def _log(text: str) -> Iterator[str]:
    pairs = re.findall(r"^\s*([\w.]+)\s*=\s*(.*?)\s*$", text, re.MULTILINE)
    told = dict(pairs)
    names = [v for k, v in pairs if re.fullmatch(r"appender\.\w+\.name", k)]
    references = [(k, v) for k, v in pairs if re.fullmatch(r"rootLogger\.appenderRef\.\w+\.ref", k)]
    if not references:
        yield "rootLogger has no appenderRef: nothing is logged"
    for key, value in references:
        if value not in names:
            yield f"{key} = {value}: no appender has that name, only {', '.join(names) or 'none'}"
    for key in names and {
        k for k, _ in pairs if re.fullmatch(r"(rootLogger|logger\.\w+)\.level", k)
    }:
        if told[key].upper() not in _LOG_LEVELS:
            yield f"{key} = {told[key]}: none of {', '.join(_LOG_LEVELS)}"
    for key, value in pairs:
        if re.fullmatch(r"appender\.\w+\.type", key) and value.upper() != "CONSOLE":
            yield f"{key} = {value}: only the console is kept, as the pod's log; CONSOLE"
