"""A test of the test: sound IR passes, and each way to break it is refused and named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hemix.errors import DefinitionError
from hemix.pipelines.compiler.checking import check
from tests.pipelines.ir import Document, documents, text

pytestmark = pytest.mark.slow

Break = Callable[[Document, Document], None]


def _task(spec: Document, dag: str, task: str) -> Any:
    return (spec["root"] if dag == "root" else spec["components"][dag])["dag"]["tasks"][task]


def _executor(spec: Document, label: str = "exec-train") -> Any:
    return spec["deploymentSpec"]["executors"][label]["container"]


def _pods(platform: Document) -> Any:
    return platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def _image(reference: str) -> Break:
    return lambda spec, _: _executor(spec).update(image=reference)


def _drop_component(spec: Document, _: Document) -> None:
    del spec["components"]["comp-ingest"]


def _drop_executor(spec: Document, platform: Document) -> None:
    del spec["deploymentSpec"]["executors"]["exec-ingest"]
    del _pods(platform)["exec-ingest"]


def _unknown_field(spec: Document, _: Document) -> None:
    _task(spec, "root", "ingest")["cachingOption"] = {}


def _unknown_pod_field(_: Document, platform: Document) -> None:
    _pods(platform)["exec-train"]["readOnlyRoot"] = True


def _producer(spec: Document, _: Document) -> None:
    inputs = _task(spec, "root", "validate-data")["inputs"]["artifacts"]
    inputs["events"]["taskOutputArtifact"]["producerTask"] = "digest"


def _output(spec: Document, _: Document) -> None:
    inputs = _task(spec, "root", "validate-data")["inputs"]["artifacts"]
    inputs["events"]["taskOutputArtifact"]["outputArtifactKey"] = "event"


def _input(spec: Document, _: Document) -> None:
    inputs = _task(spec, "root", "validate-data")["inputs"]["parameters"]
    inputs["definition"]["componentInputParameter"] = "definitoin"


def _unasked(spec: Document, _: Document) -> None:
    inputs = _task(spec, "root", "ingest")["inputs"]["parameters"]
    inputs["extra"] = inputs["definition"]


def _missing(spec: Document, _: Document) -> None:
    del _task(spec, "root", "ingest")["inputs"]["parameters"]["revision"]


def _missing_artifact(spec: Document, _: Document) -> None:
    del _task(spec, "root", "validate-data")["inputs"]["artifacts"]["events"]


def _sourceless(spec: Document, _: Document) -> None:
    _task(spec, "root", "ingest")["inputs"]["parameters"]["revision"] = {}


def _type(spec: Document, _: Document) -> None:
    spec["root"]["inputDefinitions"]["parameters"]["revision"]["parameterType"] = "LIST"


def _artifact_type(spec: Document, _: Document) -> None:
    outputs = spec["components"]["comp-ingest"]["outputDefinitions"]["artifacts"]
    outputs["events"]["artifactType"]["schemaTitle"] = "system.Model"


def _dependency(spec: Document, _: Document) -> None:
    _task(spec, "root", "validate-data")["dependentTasks"] = ["ingst", "ingest"]


def _unawaited(spec: Document, _: Document) -> None:
    del _task(spec, "root", "validate-data")["dependentTasks"]


def _circle(spec: Document, _: Document) -> None:
    _task(spec, "root", "ingest")["dependentTasks"] = ["validate-data"]


def _condition(spec: Document, _: Document) -> None:
    policy = _task(spec, "root", "condition-1")["triggerPolicy"]
    policy["condition"] = policy["condition"].replace("validate-data", "validate-dota")


def _unused(spec: Document, _: Document) -> None:
    spec["components"]["comp-spare"] = spec["components"]["comp-ingest"]


def _unused_executor(spec: Document, platform: Document) -> None:
    executors = spec["deploymentSpec"]["executors"]
    executors["exec-spare"] = executors["exec-ingest"]
    _pods(platform)["exec-spare"] = _pods(platform)["exec-ingest"]


def _itself(spec: Document, _: Document) -> None:
    _task(spec, "comp-condition-1", "stop")["componentRef"]["name"] = "comp-condition-1"


def _empty(spec: Document, _: Document) -> None:
    del spec["components"]["comp-stop"]["executorLabel"]


def _no_command(spec: Document, _: Document) -> None:
    del _executor(spec)["command"]


def _root(_: Document, platform: Document) -> None:
    _pods(platform)["exec-train"]["securityContext"]["runAsNonRoot"] = False


def _no_pod(_: Document, platform: Document) -> None:
    del _pods(platform)["exec-train"]


def _stray_pod(_: Document, platform: Document) -> None:
    _pods(platform)["exec-tarin"] = _pods(platform)["exec-train"]


def _for_ever(_: Document, platform: Document) -> None:
    del _pods(platform)["exec-train"]["activeDeadlineSeconds"]


BROKEN: list[tuple[Break, str]] = [
    (_drop_component, "root/ingest refers to component 'comp-ingest', not there"),
    (_drop_executor, "component comp-ingest refers to executor 'exec-ingest', not there"),
    (_unknown_field, "not a PipelineSpec.*cachingOption"),
    (_unknown_pod_field, "exec-train: not a KubernetesExecutorConfig.*readOnlyRoot"),
    (_producer, "root/validate-data: reads from task 'digest', not there"),
    (_output, "reads output 'event' of task 'ingest'"),
    (_input, "'definition' reads input 'definitoin', not there"),
    (_unasked, "root/ingest: gives parameter 'extra'"),
    (_missing, "root/ingest: lacks parameter 'revision'"),
    (_missing_artifact, "root/validate-data: lacks artifact 'events'"),
    (_sourceless, "root/ingest: 'revision' has no source"),
    (_type, "'revision' takes STRING and is given LIST"),
    (_artifact_type, "'events' takes system.Dataset and is given system.Model"),
    (_dependency, "root/validate-data: waits for task 'ingst'"),
    (_unawaited, "root/validate-data: reads from task 'ingest' without waiting"),
    (_circle, "root: tasks .*ingest.* wait for each other"),
    (_condition, "root/condition-1: its condition reads 'pipelinechannel--validate-dota-Output'"),
    (_unused, "component comp-spare is used by no task"),
    (_unused_executor, "executor exec-spare is used by no component"),
    (_itself, "component comp-condition-1 contains itself"),
    (_empty, "component comp-stop has neither tasks nor an executor"),
    (_no_command, "exec-train: has no command"),
    (_image("hemix/train"), "exec-train: image 'hemix/train' has no tag"),
    (_image("registry:5000/hemix/train"), "image 'registry:5000/hemix/train' has no tag"),
    (_image("hemix/train:latest"), "image 'hemix/train:latest' is not pinned"),
    (_image("hemix/train@sha256:12"), "has no tag"),
    (_image("{{$.inputs.parameters['image']}}"), "has no tag"),
    (_image(""), "image '' has no tag"),
    (_root, "exec-train: may run as root"),
    (_no_pod, "exec-train: has no pod settings"),
    (_stray_pod, "pod settings of exec-tarin, which is no executor"),
    (_for_ever, "exec-train: has no timeout"),
]


@pytest.mark.parametrize(("broken", "told"), BROKEN, ids=[told[:50] for _, told in BROKEN])
def test_broken_pipelines_are_refused(broken: Break, told: str) -> None:
    spec, platform = documents("training")
    broken(spec, platform)
    with pytest.raises(DefinitionError, match=told):
        check(text(spec, platform), "training")


@pytest.mark.parametrize(
    "image",
    [
        "hemix/train:0.1.0",
        "registry.example.com:5000/a/b/train:v1",
        "train@sha256:" + "0" * 64,
        "registry.example.com:5000/a/train@sha256:" + "0" * 64,
    ],
)
def test_pinned_images_pass(image: str) -> None:
    spec, platform = documents("training")
    _executor(spec).update(image=image)
    assert check(text(spec, platform)).executors == 15


def test_broken_loops_are_refused() -> None:
    for change, told in (
        ({"itemInput": "nothing"}, "loops into 'nothing'"),
        ({"items": {"inputParameter": "nothing"}}, "loops over 'nothing'"),
    ):
        spec, platform = documents("backfill")
        loop = _task(spec, "root", "for-loop-1")
        loop["parameterIterator"] |= change
        with pytest.raises(DefinitionError, match=told):
            check(text(spec, platform))


def test_broken_outputs_of_a_pipeline_are_refused() -> None:
    spec, platform = documents("backfill")
    spec["root"]["outputDefinitions"] = {"parameters": {"all": {"parameterType": "LIST"}}}
    with pytest.raises(DefinitionError, match="declares output 'all' and does not give it"):
        check(text(spec, platform))
    selector = {"producerSubtask": "days", "outputParameterKey": "Outputs"}
    results = {"all": {"valueFromParameter": selector}}
    spec["root"]["dag"]["outputs"] = {"parameters": results}
    with pytest.raises(DefinitionError, match="output 'all' reads output 'Outputs' of task 'days'"):
        check(text(spec, platform))
    selector["outputParameterKey"] = "Output"
    assert check(text(spec, platform)).tasks == 4


@pytest.mark.parametrize(
    ("other", "told"), [("a: [", "not valid YAML"), ("a: 1", "holds 1 documents"), ("", "0 doc")]
)
def test_other_texts_are_refused(other: str, told: str) -> None:
    with pytest.raises(DefinitionError, match=told):
        check(other)
