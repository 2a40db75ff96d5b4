"""Every ranker over crossed fields, and what a recipe can put on top of one: trained on real rows,
deployed, and served as it was in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner

from hemix.cli.main import app
from hemix.components.train import step as train
from hemix.components.validate_model.loaded import export_check
from hemix.components.validate_model.policy import ParityPolicy
from hemix.features.store.publish import publish
from hemix.models.rankers.fields import FieldRanker
from hemix.models.rankers.registry import RANKERS
from hemix.models.versions.inference import Scorer, predict_table
from hemix.models.versions.version import WEIGHTS
from hemix.models.versions.zero_rows import ROWS
from hemix.serving.ranking.loaded_version import LoadedVersion, load_version
from hemix.serving.ranking.loading import Loader
from hemix.serving.ranking.pool import VersionPool
from hemix.serving.ranking.service import LocalRanker
from hemix.serving.registry.opening import open_registry
from hemix.verdict import Verdict
from tests.serving.live import TIME_MS, Workshop
from tests.serving.offline import offline_rows
from tests.small import SmallRun

NAMES = [name for name, kind in RANKERS.items() if issubclass(kind, FieldRanker)]

RECIPES: dict[str, tuple[str, dict[str, str]]] = {
    **{name: (name, {}) for name in NAMES},
    "refined": ("fm", {"model.refine": "frnet_b", "training.objective.cl4ctr.weight": "1"}),
    "narrow": ("", {}),
    "sparse": ("xdeepint", {"training.embedding_optimizer": "group_ftrl"}),
}
"""Name of a version -> its recipe and overrides; narrow: what hemix dimensions writes of fm's."""

POLICY = ParityPolicy(rows=1, requests=1, tolerance=1e-5)


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A few transformed rows, a version that serves, and a known user's request.

    ``rows``: the request as plain transformed rows.
    """

    root: Path
    small: SmallRun
    verdict: Verdict
    served: LoadedVersion
    asked: dict[str, Any]
    rows: pa.Table


def trained(root: Path, small: SmallRun, name: str) -> Path:
    """The version folder of a short training on the rows in ``root``."""
    model = root / name / "model"
    recipe, overrides = RECIPES[name]
    if name == "narrow":
        recipe = str(root / "narrow.yaml")
        told = CliRunner().invoke(
            app, ["dimensions", str(root / "fm" / "model"), "--ratio", "0.5", "--output", recipe]
        )
        assert told.exit_code == 0, told.output
    train.run(
        transformed=root / "transformed",
        transform=small.transform,
        recipe=recipe,
        overrides={
            **overrides,
            "model.embedding.width": "4",
            "training.batch_size": "100",
            "training.evaluations": "1",
        },
        version=name,
        feature_service="ranker_small",
        checkpoints=root / name / "checkpoints",
        out_model=model,
        out_curves=root / name / "curves",
    )
    return model


@pytest.fixture(scope="module")
def shop(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    root, small = tmp_path_factory.mktemp("interaction"), workshop.small
    for split in ("train", "validation", "test"):
        table = pq.read_table(small.transformed / split)
        (root / "transformed" / split).mkdir(parents=True)
        few = table.take(pa.array(np.linspace(0, table.num_rows - 1, 200).astype(np.int64)))
        pq.write_table(few, root / "transformed" / split / "part-0.parquet")
    store = root / "feature_store"
    publish(workshop.root / "repository", store)
    served = load_version(
        trained(root, small, "fm"), store=str(store), timeout_s=30, item_cache_s=60
    )
    (user,), items = workshop.known(users=1)
    asked = {"user_id": user, "item_ids": items, "context": {"tab": 2}, "timestamp_ms": TIME_MS}
    graph = served.model.graph
    rows = offline_rows(graph, store, "ranker_small", user, items, context=asked["context"])
    verdict = Verdict.read(workshop.root / "passed.json")
    return Shop(root=root, small=small, verdict=verdict, served=served, asked=asked, rows=rows)


def narrow(model: Path) -> None:
    """Tables have widths of their own."""
    stored = load_file(model / WEIGHTS)
    widths = {w.shape[1] for name, w in stored.items() if name.startswith("embedding.tables.")}
    assert len(widths) > 1
    assert min(widths) < 4


def sparse(model: Path) -> None:
    """Rows of zeros are not stored."""
    assert any(name.endswith(ROWS) for name in load_file(model / WEIGHTS))


def refined(model: Path) -> None:
    """The refinement is stored, CL4CTR's encoder is not."""
    names = set(load_file(model / WEIGHTS))
    assert any("refine" in name for name in names)
    assert not any("cl4ctr" in name for name in names)


STORED = {"narrow": narrow, "sparse": sparse, "refined": refined}


@pytest.mark.parametrize("name", RECIPES)
def test_trains_deploys_and_serves_the_scores_it_had_in_memory(name: str, shop: Shop) -> None:
    """All versions have one transform, whose graph is loaded once."""
    here = shop.root / name
    model = here / "model" if name == "fm" else trained(shop.root, shop.small, name)
    STORED.get(name, lambda model: None)(model)
    exported = export_check(Scorer.load(model), model, shop.root / "transformed", POLICY)
    assert exported.passed, exported.line
    registry = open_registry(here / "registry")
    registry.add(model, share=0.1, why="test", verdict=shop.verdict)

    def load(version: str) -> LoadedVersion:
        scorer = Scorer.load(registry.folder(version))
        loaded = replace(shop.served.model, name=version, scorer=scorer)
        return replace(shop.served, name=version, model=loaded)

    ranker = LocalRanker(VersionPool(registry, Loader(load)), None)
    (request,) = ranker.validate({"instances": [shop.asked]})
    answer = ranker.finish(*ranker.score(ranker.prepare(request))).to_json()
    assert (answer["version"], answer["flags"]) == (name, [])
    for task, values in predict_table(Scorer.load(model), shop.rows).items():
        np.testing.assert_allclose(answer["scores"][task], values, atol=2e-6)
        assert values.std() > 0
