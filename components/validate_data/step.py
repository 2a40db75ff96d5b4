"""Gate on the events: do they hold what the definition promises?"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from hemix.components.expectations import load, validate
from hemix.components.validate_data.frames import TABLES, add_facts, in_window, read_table, to_frame
from hemix.components.validate_data.requests import request_checks
from hemix.components.validate_data.suites import expected_schemas, schema_suite, table_suites
from hemix.features.definition import DatasetDefinition
from hemix.features.schema import ColumnTypes
from hemix.files import read_json
from hemix.models.metrics.bootstrap import FEWEST_USERS
from hemix.progress import say
from hemix.verdict import Check, Verdict

GATE = "validate_data"


def run(
    *, definition: DatasetDefinition, events: Path, out_verdict: Path, out_docs: Path
) -> Verdict:
    """Check columns, types, nulls, keys, ranges, times, labels, ids and requests; write verdict and
    pages.

    Every check names table and column, the value found and the threshold; ``slice`` names the
    split. Columns and types are checked first: without them the rest is not run.

    Raises:
        StorageError: a missing or damaged events file.
    """
    gxe = load()
    types = ColumnTypes.from_json(read_json(events / "types.json"))
    expected = expected_schemas(definition, types)
    tables = {name: read_table(events, name) for name in TABLES}
    found = {name: table.schema for name, table in tables.items()}
    suites = [schema_suite(gxe, expected, found)]
    if all(set(expected[name].names) <= set(found[name].names) for name in TABLES):
        frames = {name: to_frame(table) for name, table in tables.items()}
        suites += table_suites(gxe, definition, add_facts(frames, definition))
    checks: list[Check] = validate(suites, out_docs)
    if set(expected["interactions"].names) <= set(found["interactions"].names):
        checks += request_checks(definition, tables["interactions"])
    verdict = Verdict.of(GATE, checks)
    verdict.write(out_verdict)
    say(f"validate_data: {len(checks)} checks, {len(verdict.failures)} not met")
    if verdict.passed and (told := _few(definition, frames["interactions"])):
        say(told)
    return verdict


def _few(definition: DatasetDefinition, interactions: pd.DataFrame) -> str:
    """What too few test users will come to, said before the long steps; empty when they are enough."""
    test = interactions[in_window(interactions, definition.split.test)]
    if (users := test["user_id"].nunique()) >= FEWEST_USERS:
        return ""
    return (
        f"validate_data: {users} users in the test split. Of fewer than {FEWEST_USERS} no interval is "
        "given, and what a policy asks of a comparison cannot pass at validate_model. Give the split "
        "more users, or run with a policy that compares with nobody: popularity: {}, champion: {}"
    )
