"""The bill of materials: everything that is pinned, and nothing else."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from hemix.errors import EnvironmentProblem
from hemix.infra import sbom
from hemix.infra.images.requirements import pinned

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bom() -> dict[str, Any]:
    return sbom.inventory(validate=False)


def test_every_pin_is_listed_with_its_version(bom: dict[str, Any]) -> None:
    found = sbom.released(bom, pinned(), sbom.holders())
    listed = {
        canonicalize_name(c["name"]): Version(c["version"]).public for c in found["components"]
    }
    assert listed == {name: Version(version).public for name, version in pinned().items()}
    assert found["bomFormat"] == "CycloneDX"
    assert found["metadata"]["component"]["name"] == "hemix"
    assert all(c["purl"].startswith("pkg:pypi/") for c in found["components"])


def test_packages_say_which_images_hold_them(bom: dict[str, Any]) -> None:
    found = sbom.released(bom, pinned(), sbom.holders())
    images = {
        c["name"]: p["value"]
        for c in found["components"]
        for p in c.get("properties", ())
        if p["name"] == sbom.IMAGES_PROPERTY
    }
    assert images["torch"] == "train,serve"
    assert "pytest" not in images


def test_an_environment_of_other_versions_is_refused(bom: dict[str, Any]) -> None:
    other = copy.deepcopy(bom)
    component = next(c for c in other["components"] if c["name"] == "numpy")
    component["version"] = "1.0"
    with pytest.raises(EnvironmentProblem, match=r"numpy 1\.0 instead of"):
        sbom.released(other, pinned(), {})
    with pytest.raises(EnvironmentProblem, match=r"notthere 1\.2 is not installed"):
        sbom.released(bom, {**pinned(), "notthere": "1.2"}, {})


def test_references_lead_somewhere(bom: dict[str, Any]) -> None:
    extra = {"name": "stray", "version": "1", "bom-ref": "stray==1", "purl": "pkg:pypi/stray@1"}
    with_stray = {
        **bom,
        "components": [*bom["components"], extra],
        "dependencies": [*bom["dependencies"], {"ref": "stray==1"}],
    }
    found = sbom.released(with_stray, pinned(), {})
    references = {c["bom-ref"] for c in found["components"]} | {"root-component"}
    assert "stray==1" not in references
    for entry in found["dependencies"]:
        assert {entry["ref"], *entry.get("dependsOn", ())} <= references
