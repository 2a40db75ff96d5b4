"""The test rows a second time: with the state of the user of one moment a user, or a request.

A view makes rows of a version's transformed table such. Where every row of a group already is of its
group's moment (requests that happen at one instant) there is nothing to make, and no view.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hemix.components.evaluate.tables import batches, examples_dataset, inside, split_dataset
from hemix.features.shared_state.columns import (
    columns_of_moments,
    columns_of_rows,
    is_personal,
    own_columns,
)
from hemix.features.shared_state.moments import Moments, rows_at
from hemix.features.shared_state.personal import personal_values
from hemix.features.shared_state.rows import SharedRows, transformed_personal
from hemix.features.split import Window
from hemix.features.transform import TransformGraph

BY_USER, BY_REQUEST = "user", "request"
KEYS = ("request_id", "user_id", "event_time")
View = Callable[[pa.Table, int], pa.Table]


def moments_of(rows: pa.Table) -> dict[str, Moments]:
    """The moments of users and of requests among the window's rows; those that need a view."""
    found = {
        BY_USER: Moments.of(rows["user_id"], rows["event_time"]),
        BY_REQUEST: Moments.of(rows["request_id"], rows["event_time"]),
    }
    return {kind: moments for kind, moments in found.items() if not moments.already_shared}


@dataclass(frozen=True, kw_only=True)
class WindowRows:
    """Where the rows of the test window come from: examples, and the events they were made of.

    ``window`` is the test window, in which the examples' rows are those that ``moments`` number.
    """

    examples: Path
    events: Path
    window: Window
    moments: Mapping[str, Moments]

    def candidate_views(
        self, graph: TransformGraph, transformed: Path, split: str = "test"
    ) -> dict[str, View]:
        """Views of a split that ``graph`` made, that of :attr:`window`."""
        columns = list(own_columns(graph.spec))
        data = split_dataset(transformed, split)
        return self._views(graph, lambda rows: rows_at(batches(data, columns), rows))

    def champion_views(self, graph: TransformGraph) -> dict[str, View]:
        """Views of the examples as ``graph`` transforms them."""
        return self._views(graph, lambda rows: graph.apply_table(rows_at(self._examples(), rows)))

    def _views(
        self, graph: TransformGraph, transformed: Callable[[NDArray[np.int64]], pa.Table]
    ) -> dict[str, View]:
        views: dict[str, View] = {}
        definition = graph.definition
        wanted = is_personal(definition)
        rows = None
        for kind, moments in self.moments.items():
            personal: Mapping[str, pa.Array] = {}
            if wanted:
                if rows is None:
                    names = list(dict.fromkeys([*KEYS, *columns_of_rows(definition)]))
                    rows = pa.concat_tables(self._examples(names))
                lists = list(columns_of_moments(definition)) or ["user_id"]
                first = rows_at(self._examples(lists), moments.first)
                raw = personal_values(definition, self.events, rows, moments, first)
                personal = transformed_personal(graph, raw)
            views[kind] = SharedRows.of(graph.spec, transformed(moments.first), moments, personal)
        return views

    def _examples(self, columns: list[str] | None = None) -> Iterable[pa.Table]:
        data = examples_dataset(self.examples)
        return batches(data, columns, filter=inside(self.window))
