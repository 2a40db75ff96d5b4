"""Live events in redis: for several machines.

A hash holds the events by id, one sorted set their order, another their times. Each operation is one
Lua script that looks at the kinds of all its keys before it writes any, since redis takes nothing
back. Ids, and the texts that hold all digits, are strings throughout; only numbers of events and
milliseconds, which are below 2^53, are scores.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hemix.features.live.events import LiveEvent
from hemix.features.live.stores.base import (
    MOST_EVENTS,
    EventsFull,
    EventsUnavailable,
    Mark,
    Outcome,
    Page,
)

REDIS_PASSWORD = "HEMIX_REDIS_PASSWORD"
TIMEOUT_S = 2.0
_LOOK_S = 30.0
_PRUNED_AT_ONCE = 1_000
_KINDS = """
local kinds = {'hash', 'zset', 'zset', 'hash'}
for n = 1, 4 do
  local kind = redis.call('TYPE', KEYS[n])['ok']
  if kind ~= 'none' and kind ~= kinds[n] then
    return redis.error_reply('KIND ' .. KEYS[n] .. ' is a ' .. kind)
  end
end
local texts, order, times, facts = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
redis.call('HSETNX', facts, 'life', ARGV[1])
"""
_APPEND = """
local forgotten = tonumber(redis.call('HGET', facts, 'forgotten_ms') or '0')
local fresh, outcomes, seen = {}, {}, {}
for n = 3, #ARGV, 3 do
  local id = ARGV[n]
  if tonumber(ARGV[n + 1]) < forgotten then
    outcomes[#outcomes + 1] = 'too_old'
  elseif seen[id] or redis.call('HEXISTS', texts, id) == 1 then
    outcomes[#outcomes + 1] = 'duplicate'
  else
    seen[id] = true
    fresh[#fresh + 1] = n
    outcomes[#outcomes + 1] = 'accepted'
  end
end
local held = redis.call('HLEN', texts)
if #fresh > 0 and held + #fresh > tonumber(ARGV[2]) then
  return redis.error_reply('FULL ' .. held)
end
for _, n in ipairs(fresh) do
  local number = redis.call('HINCRBY', facts, 'number', 1)
  redis.call('HSET', texts, ARGV[n], ARGV[n + 2])
  redis.call('ZADD', order, number, ARGV[n])
  redis.call('ZADD', times, ARGV[n + 1], ARGV[n])
end
return outcomes
"""
_SINCE = """
local life = redis.call('HGET', facts, 'life')
local last = ARGV[2]
if ARGV[3] ~= '' and ARGV[3] ~= life then last = '0' end
local found = redis.call('ZRANGEBYSCORE', order, '(' .. last, '+inf', 'LIMIT', 0, ARGV[4])
local answer = {life, last}
if #found > 0 then
  answer[2] = redis.call('ZSCORE', order, found[#found])
  for n = 1, #found do answer[#answer + 1] = redis.call('HGET', texts, found[n]) end
end
return answer
"""
_PRUNE = """
if tonumber(redis.call('HGET', facts, 'forgotten_ms') or '0') < tonumber(ARGV[2]) then
  redis.call('HSET', facts, 'forgotten_ms', ARGV[2])
end
local old = redis.call('ZRANGEBYSCORE', times, '-inf', '(' .. ARGV[2], 'LIMIT', 0, ARGV[3])
for _, id in ipairs(old) do
  redis.call('HDEL', texts, id)
  redis.call('ZREM', order, id)
  redis.call('ZREM', times, id)
end
return #old
"""


_COUNTS = """
return {redis.call('HLEN', texts), redis.call('ZCARD', order), redis.call('ZCARD', times)}
"""


class RedisEvents:
    """The events in the database of a ``redis://user@host:port/db`` address.

    The password comes from ``HEMIX_REDIS_PASSWORD``. ``durable`` is true where redis says that every
    command is on its disk before it is answered (``appendonly yes``, ``appendfsync always``).

    Raises:
        EventsUnavailable: it does not answer, or may evict keys that nobody allowed it to.
    """

    def __init__(
        self,
        address: str,
        *,
        name: str = "hemix",
        most: int = MOST_EVENTS,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        import redis

        self._address, self._most = address.split("://", 1)[1].rsplit("@", 1)[-1], most
        # A retry of a lost answer is harmless: the id check and its effect are one step.
        self._redis: Any = redis.Redis.from_url(
            address,
            password=os.environ.get(REDIS_PASSWORD) or None,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
        )
        self._keys = [f"{{{name}:events}}:{part}" for part in ("texts", "order", "times", "facts")]
        append, since, prune = (_KINDS + script for script in (_APPEND, _SINCE, _PRUNE))
        self._append = self._redis.register_script(append)
        self._since = self._redis.register_script(since)
        self._prune = self._redis.register_script(prune)
        self._new_life = uuid.uuid4().hex
        self._durable, self._looked = False, float("-inf")
        self._looking = threading.Lock()
        with self._errors():
            self._look()
            counts = self._call(self._redis.register_script(_KINDS + _COUNTS))
        if len(set(counts)) != 1:
            raise EventsUnavailable(
                f"redis {self._address}: the keys of {self._keys[0]} do not belong together"
                f" ({counts[0]} texts, {counts[1]} in order, {counts[2]} times).",
                hint="Something else wrote or removed them: delete them and publish again.",
            )

    @property
    def durable(self) -> bool:
        """As :class:`EventStore` says; redis is asked again now and then."""
        with self._looking:
            if time.monotonic() > self._looked + _LOOK_S:
                with self._errors():
                    self._look()
            return self._durable

    def _look(self) -> None:
        import redis

        try:
            found = {
                name: self._redis.config_get(name).get(name, "")
                for name in ("appendonly", "appendfsync", "maxmemory", "maxmemory-policy")
            }
        except redis.ResponseError:  # a service that tells nobody its settings
            self._durable = False
        else:
            if found["maxmemory-policy"].startswith("allkeys") and found["maxmemory"] != "0":
                raise EventsUnavailable(
                    f"redis {self._address}: maxmemory-policy {found['maxmemory-policy']} may throw"
                    " live events away.",
                    hint="Set it to noeviction or volatile-lru, or give events a redis of their own.",
                )
            self._durable = found["appendonly"] == "yes" and found["appendfsync"] == "always"
        self._looked = time.monotonic()

    def append(self, events: Sequence[LiveEvent]) -> list[Outcome]:
        """As :class:`EventStore` says."""
        arguments: list[Any] = [self._most]
        for event in events:
            arguments += (event.event_id, event.time_ms, event.to_text())
        with self._errors():
            return [outcome.decode() for outcome in self._call(self._append, *arguments)]

    def since(self, mark: Mark | None, limit: int = 5_000) -> Page:
        """As :class:`EventStore` says."""
        number, life = (0, "") if mark is None else (mark.number, mark.life)
        with self._errors():
            found, last, *texts = self._call(self._since, number, life, limit)
        now = found.decode()
        return Page(
            events=tuple(LiveEvent.from_text(text) for text in texts),
            mark=Mark(life=now, number=int(float(last))),
            again=bool(life) and life != now,
        )

    def prune(self, before_ms: int) -> int:
        """As :class:`EventStore` says; a part at a time, so that others are answered in between."""
        gone = 0
        while True:
            with self._errors():
                part = self._call(self._prune, before_ms, _PRUNED_AT_ONCE)
            gone += part
            if part < _PRUNED_AT_ONCE:
                return gone

    def forgotten_ms(self) -> int:
        """As :class:`EventStore` says."""
        with self._errors():
            return int(self._redis.hget(self._keys[3], "forgotten_ms") or 0)

    def size(self) -> int:
        """As :class:`EventStore` says."""
        with self._errors():
            return int(self._redis.hlen(self._keys[0]))

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _call(self, script: Any, *arguments: Any) -> Any:
        return script(keys=self._keys, args=[self._new_life, *arguments])

    @contextmanager
    def _errors(self) -> Iterator[None]:
        import redis

        try:
            yield
        except redis.RedisError as error:
            text = str(error)
            if text.startswith("FULL "):
                raise EventsFull(int(text.split()[1]), self._most) from error
            hint = "Send the events again; an event that was taken counts once."
            if text.startswith("KIND "):
                hint = "Another program uses this key: give live events a database of their own."
            raise EventsUnavailable(
                f"redis {self._address}: the store of live events failed ({text}).", hint=hint
            ) from error
