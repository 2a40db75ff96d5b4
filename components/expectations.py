"""Run Great Expectations suites on frames in memory: checks for a verdict, pages for people."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemix.components.data_docs import write_pages
from hemix.errors import DataError
from hemix.progress import progress
from hemix.verdict import Check, Direction

EXAMPLES_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Expectations on one table (or one part of it, then ``part`` names it)."""

    table: str
    frame: pd.DataFrame
    expectations: tuple[Any, ...]
    part: str = "all"

    @property
    def name(self) -> str:
        return self.table if self.part == "all" else f"{self.table} ({self.part})"


def load() -> Any:
    """``great_expectations.expectations``, imported with its usage reports switched off."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    import great_expectations.expectations as gxe

    return gxe


def validate(suites: Sequence[Suite], out_docs: Path) -> list[Check]:
    """Run all suites, write Data Docs that need no network, and return one check an expectation.

    A check's value is what was observed (a count, a mean, or the share of rows that fit), its note
    the first values that did not fit.

    Raises:
        DataError: an expectation could not be evaluated at all.
    """
    load()
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("hemix")
    checks: list[Check] = []
    results = {}
    for suite in progress(suites, "expectation suites"):
        asset = source.add_dataframe_asset(suite.name)
        batch = asset.add_batch_definition_whole_dataframe("all")
        expected = context.suites.add(gx.ExpectationSuite(suite.name))
        expected.expectations = list(suite.expectations)
        expected.save()
        definition = context.validation_definitions.add(
            gx.ValidationDefinition(name=suite.name, data=batch, suite=expected)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = definition.run(
                batch_parameters={"dataframe": suite.frame},
                result_format={
                    "result_format": "SUMMARY",
                    "partial_unexpected_count": EXAMPLES_SHOWN,
                },
            )
        for outcome in result.results:
            _plain_numbers(outcome.result)
        results[suite.name] = result
        checks += [_check(suite, outcome) for outcome in result.results]
    write_pages(results, out_docs)
    return checks


def _check(suite: Suite, outcome: Any) -> Check:
    config = outcome.expectation_config
    kwargs, result = config.kwargs, outcome.result
    column = kwargs.get("column") or kwargs.get("column_list") or kwargs.get("column_A") or ""
    column = "+".join(column) if isinstance(column, (list, tuple)) else column
    name = f"{suite.table}.{column}" if column else suite.table
    name = f"{name} {config.type.removeprefix('expect_')}"
    if (outcome.exception_info or {}).get("raised_exception"):
        message = outcome.exception_info.get("exception_message", "")
        raise DataError(f"{name} [{suite.part}]: could not be checked: {message}.")
    value, threshold, direction = _measure(kwargs, result, bool(outcome.success))
    unexpected = [v for v in result.get("partial_unexpected_list") or () if not _is_null(v)]
    examples = list(dict.fromkeys(str(v) for v in unexpected))
    note = f"e.g. {', '.join(examples[:EXAMPLES_SHOWN])}" if examples else ""
    return Check(
        check=name,
        value=value,
        threshold=threshold,
        direction=direction,
        passed=bool(outcome.success),
        slice=suite.part,
        sample_size=len(suite.frame),
        note=note,
    )


def _measure(
    kwargs: dict[str, Any], result: dict[str, Any], success: bool
) -> tuple[float | None, float | tuple[float, float] | None, Direction]:
    """Observed value, threshold and direction of one outcome."""
    observed = result.get("observed_value")
    if "unexpected_count" in result:
        rows = result.get("element_count") or 0
        considered = rows - (result.get("missing_count") or 0)
        share = 1.0 - result["unexpected_count"] / considered if considered else 1.0
        return share, float(kwargs.get("mostly", 1.0)), "at_least"
    if isinstance(observed, (int, float)) and not isinstance(observed, bool):
        low, high = kwargs.get("min_value"), kwargs.get("max_value")
        if low is not None and high is not None:
            return float(observed), (float(low), float(high)), "between"
        if low is not None:
            return float(observed), float(low), "at_least"
        if high is not None:
            return float(observed), float(high), "at_most"
    return float(success), 1.0, "equal"


def _is_null(value: Any) -> bool:
    return not isinstance(value, (list, tuple)) and bool(pd.isna(value))


def _plain_numbers(result: dict[str, Any]) -> None:
    """numpy numbers as Python's own: GX's pages cannot print ``np.float64(...)``."""
    for key, value in result.items():
        if isinstance(value, np.generic):
            result[key] = value.item()
