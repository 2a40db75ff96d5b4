"""Validate a model version against the policy: one verdict with every number."""

from __future__ import annotations

from pathlib import Path

from hemix.components.evaluate.results import CANDIDATE, CHAMPION, Results
from hemix.components.validate_model.checks import (
    metric_checks,
    rival_checks,
    rule_checks,
    slice_checks,
)
from hemix.components.validate_model.loaded import Rows, export_check, latency_check, parity_checks
from hemix.components.validate_model.policy import Policy
from hemix.errors import DataError
from hemix.progress import say
from hemix.verdict import Verdict

GATE = "validate_model"


def run(
    *,
    policy: Path | None,
    model: Path,
    evaluation: Path,
    transformed: Path,
    champion: Path | None,
    out_verdict: Path,
) -> Verdict:
    """Decide whether ``model`` may serve; writes and returns the verdict.

    Args:
        policy: YAML file; None for the default beside this module.
        model: model version folder.
        evaluation: folder that evaluate wrote for this model.
        transformed: the transformed splits that evaluate read.
        champion: the champion's folder, None when there is none.
        out_verdict: the verdict, JSON.

    Raises:
        DefinitionError: the policy cannot be used; the message names the key.
        DataError: the evaluation is of another model or another champion.
        ModelVersionError: the model is not what its manifest says.
    """
    from hemix.models.versions.inference import Scorer

    rules = Policy.load(policy)
    results = Results.read(evaluation)
    _require(results, CANDIDATE, model)
    if champion is not None:
        _require(results, CHAMPION, champion)
    checks = [
        *metric_checks(rules, results),
        *rival_checks(rules, results),
        *rule_checks(rules, results),
        *slice_checks(rules, results),
    ]
    scorer = Scorer.load(model)
    rows = Rows.head(model, transformed, rules.parity.rows)
    checks.append(export_check(scorer, model, transformed, rules.parity))
    checks += parity_checks(scorer, rows, evaluation, rules.parity)
    checks += latency_check(scorer, rows, rules.latency)
    verdict = Verdict.of(GATE, checks)
    verdict.write(out_verdict)
    say(f"validate_model: {len(checks) - len(verdict.failures)} of {len(checks)} checks passed")
    for failure in verdict.failures:
        say(f"validate_model: FAILED {failure.sentence()}")
    return verdict


def _require(results: Results, name: str, folder: Path) -> None:
    from hemix.models.versions.version import verify

    version = verify(folder).version
    found = results.model(name)
    if found is None or found.version != version:
        raise DataError(
            f"The evaluation's {name} is {found.version if found else 'absent'!r}, not {version!r}.",
            hint="Run evaluate again for this model.",
        )
