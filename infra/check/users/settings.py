"""The settings that an overlay is judged with: a user's own, or the shipped ones in its namespace."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import yaml

from hemix.components.train.cluster_settings import TrainCluster
from hemix.errors import DefinitionError
from hemix.infra.check.objects import LOADER, Object
from hemix.pipelines.compiler.cluster_settings import ClusterSettings
from hemix.pipelines.kfp_client.agreeing import agreed
from hemix.serving.kubernetes.manifests.settings import DeploymentSettings

HOME = "hemix"


@dataclass(frozen=True, kw_only=True)
class Files:
    """The settings files of an installation; None: there is none."""

    settings: Path | None = None
    """As `hemix compile --settings` takes it; in an overlay's folder ``cluster.yaml``."""
    deploy: Path | None = None
    """As `hemix deploy --settings` takes it; ``deploy.yaml``."""
    training_cluster: Path | None = None
    """As the parameter `training_cluster` takes it; ``training_cluster.yaml``."""
    own: Path | None = None
    """Names of the installation's own; ``own.yaml``."""

    def beside(self, overlay: Path) -> Files:
        """What was not given is taken from the overlay's folder, where it lies there.

        A file of these names that holds a Kubernetes object is a resource or a patch, and is left alone.
        """
        names = {"settings": "cluster", "deploy": "deploy"}
        found = {}
        for one in fields(self):
            path = overlay / f"{names.get(one.name, one.name)}.yaml"
            if getattr(self, one.name) is None and path.is_file() and not _object(path):
                found[one.name] = path
        return replace(self, **found)


@dataclass(frozen=True, kw_only=True)
class Given:
    """What is deployed and started in an overlay: by which cluster, deployment and training settings."""

    cluster: ClusterSettings
    deployment: DeploymentSettings
    training: TrainCluster


@functools.cache
def usual() -> ClusterSettings:
    """The shipped cluster settings."""
    return ClusterSettings.load()


def home_of(objects: Sequence[Object]) -> str:
    """The namespace of an overlay: of the Namespace in it, else of its objects."""
    for item in objects:
        if item.manifest["kind"] == "Namespace":
            return str(item.manifest["metadata"]["name"])
    spaces = [item.manifest["metadata"].get("namespace") for item in objects]
    named = [str(space) for space in spaces if space]
    return max(named, key=named.count) if named else HOME


def given(objects: Sequence[Object], files: Files | None = None) -> Given:
    """The settings of the files; what no file says is as shipped, in the overlay's namespace, and has
    the images of the cluster settings.

    Args:
        objects: of the overlay.
        files: the user's own; None: the shipped settings.

    Raises:
        DefinitionError: a file is not read, or says another image or another namespace than is meant.
    """
    files, home = files or Files(), home_of(objects)
    cluster = usual() if files.settings is None else ClusterSettings.load(files.settings)
    deployment = DeploymentSettings(namespace=home, image=cluster.images.reference("serve"))
    training = TrainCluster(namespace=home, image=cluster.images.reference("train"))
    if files.deploy is not None:
        text = agreed({"cluster": _text(files.deploy)}, cluster)["cluster"]
        deployment = DeploymentSettings.parse(text, where=str(files.deploy))
        _near(files.deploy, deployment.namespace, home)
    if files.training_cluster is not None:
        text = agreed({"training_cluster": _text(files.training_cluster)}, cluster)
        training = TrainCluster.parse(text["training_cluster"])
        if not training.namespace:  # that of the step's own pod
            training = training.model_copy(update={"namespace": _runs(objects, home)})
        _near(files.training_cluster, training.namespace, home)
    return Given(cluster=cluster, deployment=deployment, training=training)


def _runs(objects: Sequence[Object], home: str) -> str:
    accounts = (o.manifest["metadata"] for o in objects if o.manifest["kind"] == "ServiceAccount")
    return "kubeflow" if any(one.get("namespace") == "kubeflow" for one in accounts) else home


def _near(path: Path, namespace: str, home: str) -> None:
    if namespace != home:
        raise DefinitionError(
            f"{path}: namespace is {namespace}, and the overlay's objects lie in {home}: "
            f"write namespace: {home}."
        )


def _text(path: Path) -> str:
    try:
        return path.read_text() or "{}"
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(f"{path}: cannot be read ({error}).") from error


def _object(path: Path) -> bool:
    try:
        found = yaml.load(path.read_text(), Loader=LOADER)
    except (yaml.YAMLError, UnicodeDecodeError):
        return False  # said where the file is read
    return isinstance(found, dict) and "apiVersion" in found
