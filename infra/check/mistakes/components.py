"""Components of kustomize that no overlay has: prod with them, as an operator's own overlay would be."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from hemix.infra.check.objects import ROOT, Object, kustomized

CHOSEN = (
    ("data-claim", "eks-pod-identity", "notify", "storage-port"),
    ("gke-workload-identity",),
)
"""Which go together; those of two clouds do not."""


def with_components(names: Sequence[str], overlay: str = "prod") -> list[Object]:
    """An overlay's objects with components of ours on top.

    Raises:
        DefinitionError: kustomize refuses it.
        EnvironmentProblem: there is no kubectl.
    """
    kustomize = ROOT / "infra" / "kustomize"
    with tempfile.TemporaryDirectory(prefix="hemix-components-") as made:
        folder = Path(made).resolve()
        text = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [os.path.relpath(kustomize / "overlays" / overlay, folder)],
            "components": [os.path.relpath(kustomize / "components" / n, folder) for n in names],
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(text))
        return kustomized(folder)
