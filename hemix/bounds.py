"""What an id, a category, a number and a time may be: one set of bounds for the log and for requests.

Ingest refuses a value beyond them with its file, column and row; the endpoint refuses it with the
field. So what a log can hold can be asked for.
"""

from __future__ import annotations

MAX_TEXT = 512
"""Characters of a text id, category, context value or request id: a long URL. A thousand of them in
ASCII are half of what a request's body may hold."""

MIN_INT = -(2**63) + 1
MAX_INT = 2**63 - 1
"""Whole numbers that are ids or categories; ``-(2**63)`` stands for a missing one."""

MAX_NUMBER = 3.4028234663852886e38
"""Greatest size of a numeric field: models compute in 32 bits."""

EARLIEST_MS = 315_532_800_000
LATEST_MS = 4_102_444_800_000
"""1 January 1980 and 1 January 2100: an event outside is a wrong unit, not an event."""

FIRST_DATE_MS = -62_135_596_800_000
LAST_DATE_MS = 253_402_300_799_999
"""The years 1 to 9999: dates that are attributes, such as when an item came into being."""
