"""What a run is told before it starts: recipes from files, versions to begin with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import hemix
from hemix.errors import DefinitionError
from hemix.models.training.recipes import recipe_of
from hemix.pipelines.local.folder import RunFolder
from hemix.pipelines.local.request import RunPlan, RunRequest, checked
from hemix.pipelines.local.request import plan as plan_of
from hemix.pipelines.overrides import parse_overrides


def request(root: Path, recipe: str, *sets: str) -> RunRequest:
    return RunRequest(
        dataset="kuairand",
        recipe=recipe,
        overrides=parse_overrides(sets),
        folder=RunFolder.at(root),
    )


def plan(asked: RunRequest) -> RunPlan:
    return plan_of(checked(asked))


def test_a_recipe_file_goes_along_as_its_content(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "elsewhere.yaml"
    for file in (first, second):
        file.write_text("name: mine\nranker: dcnv2\nmodel: {deep: [32]}\n")
    planned = plan(request(tmp_path, str(first)))
    told = planned.arguments["recipe"]
    first.unlink()
    assert recipe_of(told).model == recipe_of(str(second)).model
    assert plan(request(tmp_path, str(second))).version == planned.version
    second.write_text("name: mine\nranker: dcnv2\nmodel: {deep: [64]}\n")
    assert plan(request(tmp_path, str(second))).version != planned.version


def test_a_version_to_begin_with_must_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "v1").mkdir()
    with pytest.raises(DefinitionError, match=r"training.warm_start: .*v1 holds no model version"):
        plan(request(tmp_path, "tiny", "training.warm_start=v1"))
    (tmp_path / "v1" / "manifest.json").write_text("{}")
    planned = plan(request(tmp_path, "tiny", "training.warm_start=v1"))
    assert planned.arguments["overrides"] == {"training.warm_start": str(tmp_path / "v1")}
    for place in ("champion", "s3://models/v1", ""):
        found = parse_overrides([f"training.warm_start={place}"]).recipe
        assert found == {"training.warm_start": place}
    assert (
        plan(request(tmp_path, "tiny", "training.warm_start=champion")).arguments["champion"] == ""
    )


def test_a_version_is_one_of_its_threads_and_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads sum in another order than one: other bits, so another name."""
    threads = torch.get_num_threads()
    try:
        names = []
        for number in (1, 2, 1):
            torch.set_num_threads(number)
            names.append(plan(request(tmp_path, "compact")).version)
    finally:
        torch.set_num_threads(threads)
    assert names[0] == names[2] != names[1]
    monkeypatch.setattr("hemix.components.plan.naming.package_versions", lambda: {"torch": "9.9"})
    assert plan(request(tmp_path, "compact")).version not in names


def test_what_is_refused_leaves_no_folder(tmp_path: Path) -> None:
    root = tmp_path / "runs" / "mine"
    for sets in (["training.schedule=platoe"], ["split.trian=1"]):
        with pytest.raises(DefinitionError):
            hemix.run("kuairand", output=root, recipe="tiny", set=sets, quiet=True)
    assert not root.parent.exists()
