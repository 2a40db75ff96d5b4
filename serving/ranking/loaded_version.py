"""Model versions ready to serve: their features, and their model in this process.

:class:`Version` is what every version needs in front of its model; :class:`LoadedVersion` adds the
transform graph and the scorer, all warm. A version whose model is elsewhere is a
:class:`hemix.serving.two_roles.remote_ranker.RemoteVersion`.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hemix.errors import FeatureStoreError
from hemix.features.definition import DatasetDefinition
from hemix.features.schema import ColumnTypes
from hemix.features.store.assemble import assemble
from hemix.features.store.online import OnlineFeatures, store_breaker
from hemix.features.store.overlay import overlaid
from hemix.features.transform.graph import ITEM_SIDES, REQUEST_SIDES, TransformGraph
from hemix.features.transform.statistics import Statistics
from hemix.serving.events.desk import EventDesk
from hemix.serving.events.follower import Follower
from hemix.serving.messages.answer import Floats
from hemix.serving.messages.request import RankingRequest
from hemix.serving.messages.soundness import require_sound
from hemix.serving.metrics import DEPENDENCY_ALONE, Stage
from hemix.serving.monitoring.drift import FeatureBins
from hemix.serving.ranking.trial import require_finite_weights, try_out
from hemix.serving.registry.signing import require_signed
from hemix.storage import is_remote

if TYPE_CHECKING:
    from hemix.features.store.assemble import RequestColumns
    from hemix.features.store.online import OnlineFeatures
    from hemix.features.store.rows import OnlineRows
    from hemix.features.transform.columns import Column
    from hemix.features.transform.graph import TransformGraph
    from hemix.models.versions.inference import Scorer

    Columns = dict[str, Column]
    Encoded = tuple[Columns, Columns]

WARM_SIZES = (1, 100, 1000)


@dataclass(frozen=True, kw_only=True)
class Version(abc.ABC):
    """A version in front of its model. Thread-safe: everything it holds is read only.

    ``encoding`` is the stage that :meth:`encode` counts as; ``bins`` are those that drift is
    measured in.
    """

    encoding: ClassVar[Stage]
    name: str
    definition: DatasetDefinition
    types: ColumnTypes
    online: OnlineFeatures
    bins: FeatureBins
    live: Follower | None = None
    """Live events of its definition; None: sequences and counters are those of the publication."""

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
        self, user: OnlineRows, items: OnlineRows, request: RankingRequest, time_ms: int
    ) -> RequestColumns:
        """Raw columns as ``build_examples`` would have written them at ``time_ms``.

        Fields with a ``serve_as`` hold that value, whatever the request says.
        """
        columns = assemble(
            self.definition,
            self.types,
            user=user,
            items=items,
            context=request.context,
            candidates=request.candidates,
            time_ms=time_ms,
        )
        return columns.as_served(self.definition)

    @cached_property
    def asked_of_candidates(self) -> tuple[str, ...]:
        """Candidate columns whose absence from a request changes scores."""
        definition = self.definition
        counted = {made.of for made in definition.within_request}
        return tuple(
            name
            for name in definition.candidate_columns
            if name not in definition.served_as or name in counted
        )

    def with_live(
        self, raw: RequestColumns, request: RankingRequest, time_ms: int
    ) -> tuple[RequestColumns, tuple[str, ...]]:
        """``raw`` with the columns that live events make at ``time_ms``, and what to say of them."""
        if self.live is None:
            return raw, ()
        now = request.timestamp_ms is None
        found, flags = self.live.columns(request.user_id, request.item_ids, time_ms, now=now)
        return overlaid(self.definition, raw, found, time_ms), flags

    @abc.abstractmethod
    def encode(self, raw: RequestColumns) -> Any:
        """Raw columns as the model takes them."""

    def warm_up(self, size: int) -> RequestColumns:
        """Raw columns of an unknown user and ``size`` unknown items."""
        user, item = (_some_id(str(kind)) for kind in (self.types.user_id, self.types.item_id))
        request = RankingRequest(
            request_id="warm-up",
            user_id=user,
            item_ids=[item] * size,  # type: ignore[arg-type]
            context={},
            timestamp_ms=0,
        )
        return self.assemble(*self.defaults(request), request, 0)


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A version's transform graph and scorer. Thread-safe."""

    name: str
    graph: TransformGraph
    scorer: Scorer

    def transform(self, raw: RequestColumns) -> Encoded:
        """Ids and numbers: user and context columns of 1 row, item columns of N rows."""
        return self.graph.apply_request(raw.user, raw.items)

    def score(self, encoded: Encoded) -> dict[str, Floats]:
        """Probabilities of each task, float32 ``[N]``."""
        return self.scorer.score(*encoded)


@dataclass(frozen=True, kw_only=True)
class LoadedVersion(Version):
    """A version whose model is in this process."""

    encoding: ClassVar[Stage] = "transform"
    model: LoadedModel

    def encode(self, raw: RequestColumns) -> Encoded:
        """What :meth:`score` takes: transformed columns of the user and of the items."""
        return self.model.transform(raw)

    def score(self, encoded: Encoded) -> dict[str, Floats]:
        """Probabilities of each task, float32 ``[N]``."""
        return self.model.score(encoded)


def load_model(folder: Path) -> LoadedModel:
    """Verify a version's folder, load its graph and its scorer, and try them out.

    Raises:
        ModelVersionError: a file is not what the manifest says, or not signed as it must be;
            names it.
        UnsoundScores: it scores some rows with what is no probability.
    """
    from hemix.models.versions.inference import Scorer
    from hemix.models.versions.version import verify

    require_signed(folder)
    manifest = verify(folder)
    model = LoadedModel(
        name=manifest.version,
        graph=TransformGraph.load(folder / "transform", warm=[REQUEST_SIDES, ITEM_SIDES]),
        scorer=Scorer.load(folder),
    )
    require_finite_weights(model.name, model.scorer)
    try_out(model.name, model.scorer, Statistics.read(folder / "transform" / "statistics.json"))
    return model


def load_version(
    folder: Path,
    *,
    store: str,
    timeout_s: float,
    item_cache_s: float,
    events: EventDesk | None = None,
) -> LoadedVersion:
    """Verify and load a version's folder and rank once at several sizes, so that no user waits.

    Args:
        folder: model version folder.
        store: the live feature store, a folder or an ``s3://`` prefix.
        timeout_s: deadline of a read of the store.
        item_cache_s: seconds for which an item's row is kept.
        events: keeps sequences and counters up to now; None: they are those of the publication.

    Raises:
        ModelVersionError: a file is not what the manifest says; names it.
        UnsoundScores: it scores some rows with what is no probability.
        FeatureStoreError: the store does not hold the version's feature service.
    """
    from hemix.models.versions.version import read_manifest

    model = load_model(folder)
    version = LoadedVersion(
        name=model.name,
        definition=model.graph.definition,
        types=model.graph.types,
        online=open_features(
            store,
            read_manifest(folder).feature_service,
            timeout_s=timeout_s,
            item_cache_s=item_cache_s,
        ),
        bins=FeatureBins.of(
            model.graph.spec,
            Statistics.read(folder / "transform" / "statistics.json"),
            model.graph.definition,
        ),
        model=model,
        live=None if events is None else events.follow(model.graph.definition, model.graph.types),
    )
    for size in WARM_SIZES:
        scores = version.score(version.encode(version.warm_up(size)))
        require_sound(version.name, scores, size)
    return version


def require_store(store: str) -> None:
    """Raises FeatureStoreError: a local folder that is named as the live feature store is not there."""
    if not is_remote(store) and not Path(store).is_dir():
        raise FeatureStoreError(
            f"{store} is not a live feature store.",
            hint="Deploy a version first (hemix run), or pass --features DIR.",
        )


def open_features(
    store: str, service: str, *, timeout_s: float, item_cache_s: float
) -> OnlineFeatures:
    """One feature service of the live store, ready to be read.

    Raises:
        FeatureStoreError: the store does not hold the service.
    """
    alone = DEPENDENCY_ALONE.labels("feature_store", service)
    alone.set(0)
    return OnlineFeatures(
        store if is_remote(store) else Path(store),
        service,
        timeout_s=timeout_s,
        item_cache_s=item_cache_s,
        breaker=store_breaker(service, changed=alone.set),
    )


def _some_id(kind: str) -> int | str:
    """An id of the log's own type; users and items need not have the same."""
    return "0" if kind == "string" else 0
