"""People's texts through kfp.local: a step is given what was written, placeholders and all."""

import json
from pathlib import Path

from kfp import dsl
from kfp.dsl import Artifact, Output

from hemix.features.definition import DatasetDefinition
from hemix.pipelines.local.execution import LocalRun, StepResult
from hemix.texts.placeholders import as_parameter, safe_value
from tests.features.definitions import plain

TEXT = "{{$}} {{$.inputs.parameters['x']}} {{workflow.name}} $(HOME) ${HOME} 5 % \\u007b \"q\"\nü"


@dsl.component(base_image="hemix/python:test", install_kfp_package=False)
def keep(definition: str, policy: str, overrides: dict[str, str], made: Output[Artifact]) -> None:
    """Write down what arrives."""
    import json
    from pathlib import Path

    from hemix.components.process import step_process

    with step_process():
        Path(made.path).write_text(json.dumps([definition, policy, overrides]))


@dsl.pipeline(name="keeping")
def keeping(definition: str, policy: str, overrides: dict[str, str]) -> None:
    keep(definition=definition, policy=policy, overrides=overrides)


class _Results(list[StepResult]):
    def started(self, step: str) -> None: ...
    def said(self, step: str, line: str) -> None: ...
    def finished(self, result: StepResult) -> None:
        self.append(result)


def test_a_step_is_given_what_was_written(tmp_path: Path) -> None:
    odd = {"user_id": TEXT, "item_id": "i", "event_time": "t", "source": "s", "volume": "v"}
    definition = DatasetDefinition.parse(
        plain(description=TEXT, interactions__0__columns=odd, root=f"/logs/{TEXT}")
    )
    policy = {"tasks": {TEXT: {"floors": {"auc": 0.5}}}}
    overrides = {"training.warm_start": safe_value(json.dumps(TEXT), "--set")}
    results = _Results()
    LocalRun(root=tmp_path, logs=tmp_path / "logs", observer=results).run(
        keeping,
        {
            "definition": definition.to_json(),
            "policy": as_parameter(policy),
            "overrides": overrides,
        },
    )
    arrived = json.loads(Path(results[0].artifacts["made"]).read_text())
    assert DatasetDefinition.parse(arrived[0]) == definition
    assert json.loads(arrived[1]) == policy
    assert json.loads(arrived[2]["training.warm_start"]) == TEXT
