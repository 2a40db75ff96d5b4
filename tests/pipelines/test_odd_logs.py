"""Every step on the smallest and oddest logs, in this process, up to a ranked answer."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hemix.components.ingest import step as ingest
from hemix.features.definition import DatasetDefinition
from tests.odd_logs import ODD, OddLog

POLICY = """
floors: {auc: 0.0}
ceilings: {normalized_entropy: 9.0}
bands: {pcoc: [0.0, 1000.0]}
popularity: {}
rule: {}
latency: {candidates: 2, requests: 10, p99_ms: 60000.0}
parity: {rows: 64, requests: 4}
"""
"""The logs are noise: what is asked of a model here is that it can be served as it was trained."""


class Run:
    """The artifacts of one run below ``folder``, each step's beside the others'."""

    def __init__(self, log: OddLog, folder: Path) -> None:
        self.folder = folder
        self.definition = DatasetDefinition.load(log.write(folder))
        (folder / "policy.yaml").write_text(POLICY)

    def at(self, name: str) -> Path:
        return self.folder / name

    def to_features(self) -> None:
        """Steps 1 to 6; GateFailed when a gate stops them."""
        from hemix.components.build_examples import step as build_examples
        from hemix.components.register_features import step as register_features
        from hemix.components.transform import step as transform
        from hemix.components.validate_data import step as validate_data
        from hemix.components.validate_features import step as validate_features

        shared: dict[str, Any] = {"definition": self.definition, "events": self.at("events")}
        ingest.run(definition=self.definition, out_events=self.at("events"))
        validate_data.run(
            **shared, out_verdict=self.at("validate_data.json"), out_docs=self.at("data.html")
        ).require()
        build_examples.run(**shared, out_examples=self.at("examples"))
        transform.run(
            definition=self.definition,
            examples=self.at("examples"),
            out_transformed=self.at("transformed"),
            out_transform=self.at("transform"),
        )
        validate_features.run(
            **shared,
            examples=self.at("examples"),
            transformed=self.at("transformed"),
            transform=self.at("transform"),
            champion=None,
            out_verdict=self.at("validate_features.json"),
            out_docs=self.at("features.html"),
        ).require()
        register_features.run(
            **shared,
            transform=self.at("transform"),
            version="odd",
            out_repository=self.at("repository"),
            out_verdict=self.at("register_features.json"),
        ).require()

    def to_report(self) -> str:
        """Steps 7 to 11; the report's text."""
        from hemix.components.deploy import step as deploy
        from hemix.components.evaluate import step as evaluate
        from hemix.components.report import step as report
        from hemix.components.steps import GATES
        from hemix.components.train import step as train
        from hemix.components.validate_model import step as validate_model

        at = self.at
        train.run(
            transformed=at("transformed"),
            transform=at("transform"),
            recipe="tiny",
            overrides={},
            version="odd",
            feature_service="ranker_odd",
            checkpoints=at("checkpoints"),
            out_model=at("model"),
            out_curves=at("curves"),
        )
        evaluate.run(
            definition=self.definition,
            model=at("model"),
            events=at("events"),
            examples=at("examples"),
            transformed=at("transformed"),
            champion=None,
            out_evaluation=at("evaluation"),
        )
        validate_model.run(
            policy=at("policy.yaml"),
            model=at("model"),
            evaluation=at("evaluation"),
            transformed=at("transformed"),
            champion=None,
            out_verdict=at("validate_model.json"),
        ).require()
        deploy.run(
            model=at("model"),
            verdict=at("validate_model.json"),
            repository=at("repository"),
            registry=at("registry"),
            feature_store=at("feature_store"),
            share=0.1,
            out_deployment=at("deployment.json"),
        )
        report.run(
            definition=self.definition,
            events=at("events"),
            verdicts={gate: at(f"{gate}.json") for gate in GATES},
            transformed=at("transformed"),
            transform=at("transform"),
            curves=at("curves"),
            model=at("model"),
            evaluation=at("evaluation"),
            deployment=at("deployment.json"),
            out_report=at("report.html"),
        )
        return at("report.html").read_text()

    def ranked(self, instance: dict[str, Any]) -> dict[str, Any]:
        """The answer to a V1 request, by what serves it."""
        from hemix.serving.ranking.loaded_version import LoadedVersion, load_version
        from hemix.serving.ranking.loading import Loader
        from hemix.serving.ranking.pool import VersionPool
        from hemix.serving.ranking.service import LocalRanker
        from hemix.serving.registry.opening import require_registry

        registry = require_registry(self.at("registry"))
        store = str(self.at("feature_store"))

        def load(version: str) -> LoadedVersion:
            return load_version(registry.folder(version), store=store, timeout_s=10, item_cache_s=0)

        pool = VersionPool(registry, Loader(load))
        ranker = LocalRanker(pool, None)
        (request,) = ranker.validate({"instances": [instance]})
        return ranker.finish(*ranker.score(ranker.prepare(request))).to_json()


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD)
def test_an_odd_log_comes_to_a_ranked_answer(name: str, tmp_path: Path) -> None:
    import torch

    torch.set_num_threads(1)
    log = ODD[name]()
    run = Run(log, tmp_path)
    run.to_features()
    page = run.to_report()
    assert 'class="absent"' not in page
    after = round(datetime(2024, 3, 4, tzinfo=UTC).timestamp() * 1000)
    request = {"user_id": log.user, "item_ids": list(log.items), "timestamp_ms": after}
    answer = run.ranked({**request, "context": log.context})
    assert answer["flags"] == []
    assert sorted(answer["ranked_item_ids"]) == sorted(log.items)
    assert set(answer["scores"]) == set(run.definition.tasks)
    assert all(0 < p < 1 for scores in answer["scores"].values() for p in scores)
    stranger = run.ranked({**request, "user_id": 99 if isinstance(log.user, int) else "nobody"})
    assert stranger["flags"] == ["unknown_user"]
