from __future__ import annotations

from typing import Any

import pytest

from hemix.serving.experiments.assignment import epoch_of, variants_of
from hemix.serving.experiments.decision import decide
from hemix.serving.experiments.design import Design
from hemix.serving.experiments.policy import ExperimentPolicy
from hemix.serving.experiments.results import (
    Analysis,
    ArmResult,
    Comparison,
    GuardResult,
    GuardState,
    MetricResult,
    MismatchResult,
)
from tests.serving.experiments.logged import DAY_MS, START_MS, registry_state

ARMS = variants_of(registry_state())
DESIGN = Design(layer="model", epoch=epoch_of(ARMS, "salt"), arms=ARMS)
POLICY = ExperimentPolicy.load(None)


def metric(
    number: int, low: float | None, high: float | None, policy: ExperimentPolicy
) -> MetricResult:
    return MetricResult(
        metric=policy.metrics[number],
        control=0.4,
        treatment=0.41,
        effect=0.01,
        low=low,
        high=high,
        plain_low=low,
        plain_high=high,
        variance_kept=1.0,
        looks=(),
    )


def analysis(
    *,
    primary: tuple[float | None, float | None] = (-0.01, 0.03),
    secondary: tuple[float | None, float | None] = (-0.01, 0.03),
    guard: GuardState = "fine",
    mismatch: bool = False,
    strayed: int = 0,
    users: int = 5_000,
    days: float = 3.0,
    policy: ExperimentPolicy = POLICY,
) -> Analysis:
    return Analysis(
        layer="model",
        epoch=DESIGN.epoch,
        alpha=0.05,
        arms=tuple(
            ArmResult(name=a.name, version=a.version, share=a.share, users=users, requests=9)
            for a in ARMS
        ),
        start_ms=START_MS,
        end_ms=START_MS + round(days * DAY_MS),
        mismatch=MismatchResult(
            p_value=1e-9 if mismatch else 0.4, fixed_p_value=0.3, alpha=0.001, found=mismatch
        ),
        comparisons=(
            Comparison(
                arm="challenger",
                metrics=(metric(0, *primary, policy), metric(1, *secondary, policy)),
                guards=(
                    GuardResult(
                        name="error rate",
                        control=0.0,
                        treatment=0.0,
                        value=0.0,
                        low=0.0,
                        high=0.0,
                        limit="small",
                        state=guard,
                    ),
                ),
            ),
        ),
        counts={"strayed_users": strayed, "users": 2 * users},
    )


@pytest.mark.parametrize(
    ("found", "verdict", "reason"),
    [
        ({}, "continue", "click_rate is undecided"),
        ({"primary": (0.001, 0.03)}, "promote", "click_rate is surely better"),
        ({"primary": (0.001, 0.03), "guard": "unclear"}, "continue", "error rate is not clear"),
        ({"primary": (0.001, 0.03), "guard": "harmed"}, "roll_back", "error rate"),
        ({"primary": (-0.03, -0.001)}, "roll_back", "click_rate has surely got worse"),
        ({"primary": (0.001, 0.03), "secondary": (-0.05, -0.03)}, "roll_back", "long_view_rate"),
        ({"primary": (0.001, 0.03), "secondary": (-0.05, -0.01)}, "promote", "click_rate"),
        ({"primary": (None, None)}, "continue", "open to open"),
        ({"primary": (0.001, 0.03), "mismatch": True}, "roll_back", "split of users"),
        ({"primary": (0.001, 0.03), "strayed": 100}, "roll_back", "not sticky"),
        ({"primary": (0.001, 0.03), "strayed": 5}, "promote", "click_rate"),
        ({"primary": (0.001, 0.03), "users": 499}, "continue", "499 users"),
        ({"mismatch": True, "users": 499}, "roll_back", "split of users"),
        ({"days": 28.1}, "roll_back", "still undecided"),
        ({"days": 28.1, "primary": (0.001, 0.03)}, "promote", "surely better"),
    ],
)
def test_the_decision_and_its_first_reason(
    found: dict[str, Any], verdict: str, reason: str
) -> None:
    decision = decide(DESIGN, analysis(**found), POLICY)
    assert decision.verdict == verdict
    assert reason in decision.reasons[0]
    assert (decision.arm, decision.version) == ("challenger", "v2")


def test_the_policy_can_ask_for_less_than_better() -> None:
    policy = ExperimentPolicy.parse(
        "promote_when: not_worse\n"
        "primary: {name: click_rate, kind: rate, task: click, margin: 0.02}\n"
        "on_mismatch: continue\nundecided: continue"
    )

    def verdict(**found: Any) -> str:
        return decide(DESIGN, analysis(policy=policy, **found), policy).verdict

    assert verdict(primary=(-0.01, 0.01)) == "promote"
    assert verdict(primary=(-0.03, 0.01), days=99) == "continue"
    assert verdict(primary=(-0.04, -0.03)) == "roll_back"
    assert verdict(mismatch=True) == "continue"


def test_without_a_challenger_there_is_nothing_to_decide() -> None:
    alone = Design(layer="model", epoch="e", arms=ARMS[:1])
    assert decide(alone, analysis(), POLICY).verdict == "none"


def test_an_analysis_survives_json_with_open_ends_as_null() -> None:
    found = analysis(primary=(float("-inf"), float("nan")))
    assert found.comparisons[0].metrics[0].low is None
    assert Analysis.model_validate_json(found.model_dump_json()) == found
