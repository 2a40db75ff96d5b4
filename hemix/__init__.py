"""Raw behaviour logs to an A/B-tested ranking endpoint.

The names below are the public API; each is imported when it is first used, so that ``import hemix``
costs nothing:

- :func:`load_definition`: what a log's columns mean;
- :func:`run`: the whole pipeline, from the log to a deployed version;
- :func:`read_run`: what a run did;
- :func:`load_version`: a trained version, which scores tables of raw rows;
- :func:`build_ranker`: a ranker with new weights, from a feature specification.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hemix.api import (
        Version,
        build_ranker,
        load_definition,
        load_version,
        read_run,
        run,
    )

__version__ = "0.1.0"
__all__ = ["Version", "build_ranker", "load_definition", "load_version", "read_run", "run"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from hemix import api

        return getattr(api, name)
    raise AttributeError(f"module 'hemix' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
