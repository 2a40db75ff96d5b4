"""The dashboard of the models."""

from __future__ import annotations

from typing import Any

from hemix.infra.monitoring.panels import NS, dashboard, lines, stat


def model_health() -> dict[str, Any]:
    """Does the model still see what it learned from, and do its promises come true."""
    psi = f"namespace_version_feature:hemix_feature_drift_psi:median{{{NS}}}"
    pcoc = f"namespace_task_variant:hemix_calibration_pcoc:mean{{{NS}}}"
    age = f"namespace_view:hemix_feature_age_seconds:min{{{NS}}}"
    return dashboard(
        "hemix-model-health",
        "hemix: model health",
        "Whether models still see what they were trained on, and whether what they predict happens.",
        [
            (
                "At a glance",
                5,
                [
                    stat(
                        "Largest drift (PSI)",
                        "Of any feature against its training split. 0.1 is a shift, 0.25 an alert.",
                        f"max({psi})",
                        "none",
                        [(0.1, "orange"), (0.25, "red")],
                        decimals=2,
                    ),
                    stat(
                        "Oldest features",
                        "Age of the feature view that was published longest ago.",
                        f"max({age})",
                        "s",
                        [(86400, "orange"), (129600, "red")],
                    ),
                    stat(
                        "Unknown users",
                        "Ranked from default features.",
                        f'namespace_kind:hemix_unknown:share{{{NS},kind="user"}}',
                        "percentunit",
                        [(0.15, "orange"), (0.3, "red")],
                        decimals=1,
                    ),
                    stat(
                        "Unknown candidates",
                        "Items that the feature store lacks.",
                        f'namespace_kind:hemix_unknown:share{{{NS},kind="item"}}',
                        "percentunit",
                        [(0.05, "orange"), (0.1, "red")],
                        decimals=1,
                    ),
                    stat(
                        "Worst calibration",
                        "Predicted over observed, furthest from 1 of all tasks and variants.",
                        f"max({pcoc} or 1 / {pcoc})",
                        "none",
                        [(1.1, "orange"), (1.25, "red")],
                        decimals=2,
                    ),
                ],
            ),
            (
                "Drift",
                10,
                [
                    lines(
                        "Drift by feature (PSI)",
                        "Population stability index of what is served against the training split; "
                        "median over pods that have seen 1,000 requests.",
                        [(psi, "{{version}} {{feature}}")],
                        "none",
                        limit=0.25,
                    ),
                    lines(
                        "Requests that drift is measured on",
                        "A pod with fewer than 1,000 says nothing yet.",
                        [
                            (
                                f"min by (version) (hemix_feature_drift_rows{{{NS}}})",
                                "{{version}} least pod",
                            )
                        ],
                        "short",
                    ),
                ],
            ),
            (
                "Freshness and coverage",
                9,
                [
                    lines(
                        "Age of features",
                        "Of the newest row that any pod has read of each view.",
                        [(age, "{{view}}")],
                        "s",
                        limit=129600,
                    ),
                    lines(
                        "Unknown users and candidates",
                        "Share that the feature store lacks.",
                        [(f"namespace_kind:hemix_unknown:share{{{NS}}}", "{{kind}}")],
                        "percentunit",
                    ),
                ],
            ),
            (
                "Do predictions come true?",
                10,
                [
                    lines(
                        "Calibration (predicted / observed)",
                        "1 is right; 1.25 promises a quarter too much. Over at least 1,000 outcomes.",
                        [(pcoc, "{{task}} {{variant}}")],
                        "none",
                        limit=1.25,
                        floor=None,
                    ),
                    lines(
                        "Outcomes that calibration is measured on",
                        "Clicks and views arrive late; without them nothing is said.",
                        [
                            (
                                f"sum by (task, variant) (hemix_calibration_outcomes{{{NS}}})",
                                "{{task}} {{variant}}",
                            )
                        ],
                        "short",
                    ),
                ],
            ),
        ],
    )
