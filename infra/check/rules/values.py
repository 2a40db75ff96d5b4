"""Values that Kubernetes knows: names, labels, quantities, ports, durations, addresses."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
"""A DNS label (RFC 1123): most names inside of objects."""
LABEL_1035 = re.compile(r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")
"""The same beginning with a letter: Services."""
SUBDOMAIN = re.compile(
    r"^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
)
QUALIFIED = re.compile(
    r"^((?=[^/]{1,253}/)[a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
)
VALUE = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")
PORT_NAME = re.compile(r"^(?=.{1,15}$)(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
ENV_NAME = re.compile(r"^[-._a-zA-Z][-._a-zA-Z0-9]*$")
KEY = re.compile(r"^(?!\.\.?$)(?!\.\.)[-._a-zA-Z0-9]{1,253}$")
"""Of a ConfigMap or Secret."""
DURATION = re.compile(r"^([0-9]+(ms|[smhdwy]))+$")
"""Prometheus'."""
_QUANTITY = re.compile(r"^([+-]?[0-9]+(?:\.[0-9]*)?|[+-]?\.[0-9]+)(.*)$")
_SUFFIXES = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    **{f"{u}i": Decimal(1024 ** (n + 1)) for n, u in enumerate("KMGTPE")},
}


def quantity(value: Any) -> Decimal | None:
    """The number that a quantity is; None when it is none."""
    match = _QUANTITY.match(str(value))
    if match is None:
        return None
    number, suffix = match.groups()
    if suffix in _SUFFIXES:
        return Decimal(number) * _SUFFIXES[suffix]
    if re.fullmatch(r"[eE][+-]?[0-9]+", suffix):
        return Decimal(number + suffix)
    return None


def is_port(value: Any) -> bool:
    """A port's number."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535


def one_of(where: str, value: Any, allowed: Iterable[str]) -> Iterator[str]:
    """``value`` is unset or one of ``allowed``."""
    known = tuple(allowed)
    if value is not None and value not in known:
        yield f"{where}: {value!r} is not one of {', '.join(known)}"


def at_least(where: str, value: Any, least: int) -> Iterator[str]:
    """``value`` is unset or a number of at least ``least``."""
    if value is not None and (not isinstance(value, int) or value < least):
        yield f"{where}: {value!r} is not a number of at least {least}"


def doubles(where: str, what: str, names: Iterable[Any]) -> Iterator[str]:
    """Each of ``names`` stands once."""
    seen: set[Any] = set()
    for name in names:
        if name in seen:
            yield f"{where}: {what} {name} stands twice"
        seen.add(name)


def network(where: str, cidr: Any) -> Iterator[str]:
    """An address with the length of its prefix, and nothing behind it."""
    try:
        ipaddress.ip_network(str(cidr))
        if "/" not in str(cidr):
            raise ValueError("no length of a prefix")
    except ValueError as error:
        yield f"{where}: {cidr!r} is no network ({error})"


def labels(where: str, found: Any) -> Iterator[str]:
    """Labels: each a name and a value."""
    for key, value in (found or {}).items():
        if not QUALIFIED.match(str(key)):
            yield f"{where}: {key!r} is no label's name"
        if not isinstance(value, str) or not VALUE.match(value):
            yield f"{where}: {key}={value!r} is no label's value"


def selector(where: str, found: Any) -> Iterator[str]:
    """A label selector with matchLabels and matchExpressions."""
    if not isinstance(found, dict):
        return
    yield from labels(f"{where}.matchLabels", found.get("matchLabels"))
    for number, term in enumerate(found.get("matchExpressions") or ()):
        at = f"{where}.matchExpressions[{number}]"
        operator, values = term.get("operator"), term.get("values")
        if not QUALIFIED.match(str(term.get("key"))):
            yield f"{at}: {term.get('key')!r} is no label's name"
        if operator in ("In", "NotIn"):
            if not values:
                yield f"{at}: {operator} needs values"
            for value in values or ():
                if not VALUE.match(str(value)):
                    yield f"{at}: {value!r} is no label's value"
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                yield f"{at}: {operator} takes no values"
        else:
            yield f"{at}: {operator!r} is no operator"


def selects(found: Any, of: dict[str, str]) -> bool:
    """Whether a label selector means something with these labels; an empty one means all."""
    if found is None:
        return False
    for key, value in (found.get("matchLabels") or {}).items():
        if of.get(key) != value:
            return False
    for term in found.get("matchExpressions") or ():
        has, value = term["key"] in of, of.get(term["key"])
        wanted = {
            "In": has and value in (term.get("values") or ()),
            "NotIn": not has or value not in (term.get("values") or ()),
            "Exists": has,
            "DoesNotExist": not has,
        }
        if not wanted.get(term.get("operator"), False):
            return False
    return True
