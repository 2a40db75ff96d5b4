"""Features monitored for drift: a gate stops on them and serving watches them."""

from __future__ import annotations

from hemix.features.definition import DatasetDefinition
from hemix.features.transform_plan import index_column


def watched_features(definition: DatasetDefinition) -> set[str]:
    """Declared attributes and context, by their names in a transform's statistics.

    Not among them: ids of users and items (new ones are what a log brings), counters and rates (they
    grow from the log's start), ages, hours and weekdays (they follow the window), and sequences
    (they fill with use).
    """
    fields = [c.name for c in definition.categorical if c.name not in ("user_id", "item_id")]
    return {
        *(index_column(name) for name in fields),
        *(f"{n.name}_scaled" for n in definition.numeric),
    }
