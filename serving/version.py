"""One model version, ready to serve: its features, its transform graph and its scorer, all warm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from features.definition import DatasetDefinition
from features.schema import ColumnTypes
from hemix.spec import Side
from serving.answer import Floats
from serving.request import RankingRequest, Value

if TYPE_CHECKING:
    from features.store.assemble import RequestColumns
    from features.store.online import OnlineFeatures
    from features.store.rows import OnlineRows
    from features.transform.columns import Column
    from features.transform.graph import TransformGraph
    from models.inference import Scorer

    Columns = dict[str, Column]

USER_SIDES: frozenset[Side] = frozenset({"user", "context"})
ITEM_SIDES: frozenset[Side] = frozenset({"item"})
_WARM_SIZES = (1, 100, 1000)


@dataclass(frozen=True, kw_only=True)
class LoadedVersion:
    """A loaded model version. Thread-safe: everything it holds is read only."""

    name: str
    graph: TransformGraph
    scorer: Scorer
    online: OnlineFeatures

    @property
    def definition(self) -> DatasetDefinition:
        return self.graph.definition

    @property
    def types(self) -> ColumnTypes:
        return self.graph.types

    def read(self, request: RankingRequest) -> tuple[OnlineRows, OnlineRows]:
        """Rows of the user ``[1]`` and of the items ``[N]``; FeatureStoreError when it is down."""
        return self.online.read(request.user_id, request.item_ids)

    def defaults(self, request: RankingRequest) -> tuple[OnlineRows, OnlineRows]:
        """The rows of an unknown user and unknown items, without asking the store."""
        return (
            self.online.defaults("user", [request.user_id]),
            self.online.defaults("item", request.item_ids),
        )

    def assemble(
        self, user: OnlineRows, items: OnlineRows, context: dict[str, Value], time_ms: int
    ) -> RequestColumns:
        """Raw columns as ``build_examples`` would have written them at ``time_ms``."""
        from features.store.assemble import assemble

        return assemble(
            self.definition, self.types, user=user, items=items, context=context, time_ms=time_ms
        )

    def transform(self, raw: RequestColumns) -> tuple[Columns, Columns]:
        """Ids and numbers: user and context columns of 1 row, item columns of N rows."""
        return (
            self.graph.apply_columns(raw.user, USER_SIDES),
            self.graph.apply_columns(raw.items, ITEM_SIDES),
        )

    def score(self, user: Columns, items: Columns) -> dict[str, Floats]:
        """Probabilities of each task, float32 ``[N]``."""
        return self.scorer.score(user, items)


def load_version(
    folder: Path, *, store: Path, timeout_s: float, item_cache_s: float
) -> LoadedVersion:
    """Verify and load a version's folder and rank once at several sizes, so that no user waits.

    Args:
        folder: model version folder.
        store: the live feature store.
        timeout_s: deadline of a read of the store.
        item_cache_s: seconds for which an item's row is kept.

    Raises:
        ModelVersionError: a file is not what the manifest says; names it.
        FeatureStoreError: the store does not hold the version's feature service.
    """
    from features.store.online import OnlineFeatures
    from features.transform.graph import TransformGraph
    from models.inference import Scorer
    from models.version import verify

    manifest = verify(folder)
    version = LoadedVersion(
        name=manifest.version,
        graph=TransformGraph.load(folder / "transform", warm=[USER_SIDES, ITEM_SIDES]),
        scorer=Scorer.load(folder),
        online=OnlineFeatures(
            store, manifest.feature_service, timeout_s=timeout_s, item_cache_s=item_cache_s
        ),
    )
    _warm(version)
    return version


def _warm(version: LoadedVersion) -> None:
    user, item = (
        _some_id(str(kind)) for kind in (version.graph.types.user_id, version.graph.types.item_id)
    )
    for size in _WARM_SIZES:
        request = RankingRequest(
            request_id="warm-up",
            user_id=user,
            item_ids=[item] * size,  # type: ignore[arg-type]
            context={},
            timestamp_ms=0,
        )
        raw = version.assemble(*version.defaults(request), {}, 0)
        version.score(*version.transform(raw))


def _some_id(kind: str) -> int | str:
    """An id of the log's own type; users and items need not have the same."""
    return "0" if kind == "string" else 0
