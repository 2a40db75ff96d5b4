"""The dashboard of the endpoint."""

from __future__ import annotations

from typing import Any

from hemix.infra.monitoring.panels import NS, dashboard, lines, stat

_RANKER = f'{NS},role="ranker"'


def serving() -> dict[str, Any]:
    """Are users served, how fast, by which version; and what fails."""
    return dashboard(
        "hemix-serving",
        "hemix: serving",
        "Whether users get their ranking, how fast, from which version, and what fails.",
        [
            (
                "Are users served?",
                5,
                [
                    stat(
                        "Requests a second",
                        "Ranking requests that the rankers answer, with any outcome.",
                        f"sum(namespace:hemix_requests:rate5m{{{NS}}})",
                        "reqps",
                        base="blue",
                    ),
                    stat(
                        "Requests that fail",
                        "Answered with 5xx. The objective is 0.1 %.",
                        f"namespace:hemix_errors:ratio_rate5m{{{NS}}}",
                        "percentunit",
                        [(0.001, "orange"), (0.0144, "red")],
                        decimals=2,
                    ),
                    stat(
                        "Slowest 1 %",
                        "99th percentile of the time inside the ranker. The objective is 100 ms.",
                        f'namespace_stage:hemix_stage_seconds:p99_5m{{{NS},stage="total"}}',
                        "s",
                        [(0.075, "orange"), (0.1, "red")],
                    ),
                    stat(
                        "Ranked from defaults",
                        "Requests for which the feature store did not answer.",
                        f"sum(rate(hemix_feature_store_errors_total{{{NS}}}[5m])) "
                        f"/ (sum(namespace:hemix_requests:rate5m{{{NS}}}) > 0)",
                        "percentunit",
                        [(0.001, "orange"), (0.01, "red")],
                        decimals=2,
                    ),
                    stat(
                        "Versions that do not load",
                        "Named by the registry, and refused by the endpoint.",
                        f"sum(max by (version) (hemix_version_refused{{{NS}}}))",
                        "short",
                        [(1, "red")],
                    ),
                    stat(
                        "Rankers up",
                        "Pods that Prometheus reaches.",
                        f"sum(up{{{_RANKER}}})",
                        "short",
                        [(1, "orange"), (2, "green")],
                        base="red",
                    ),
                ],
            ),
            (
                "Traffic and latency",
                9,
                [
                    lines(
                        "Requests by outcome",
                        "200 is a ranking; 400 a malformed request; 5xx counts against the objective.",
                        [
                            (
                                f"sum by (status) (rate(hemix_requests_total{{{_RANKER}}}[5m]))",
                                "{{status}}",
                            )
                        ],
                        "reqps",
                        stack=True,
                    ),
                    lines(
                        "Latency",
                        "Inside the ranker, network to the user left out.",
                        [
                            (
                                f'namespace_stage:hemix_stage_seconds:p99_5m{{{NS},stage="total"}}',
                                "p99",
                            ),
                            (
                                f'namespace_stage:hemix_stage_seconds:p50_5m{{{NS},stage="total"}}',
                                "p50",
                            ),
                        ],
                        "s",
                        limit=0.1,
                    ),
                ],
            ),
            (
                "Where the time goes",
                9,
                [
                    lines(
                        "Stages, 99th percentile",
                        "features: the online store. predict: the version's predictor. "
                        "Stages of different requests do not add up to the total.",
                        [
                            (
                                f'namespace_stage:hemix_stage_seconds:p99_5m{{{NS},stage!="total"}}',
                                "{{stage}}",
                            )
                        ],
                        "s",
                    ),
                    lines(
                        "Candidates a request",
                        "Work grows with candidates; 1,000 is the most.",
                        [
                            (
                                f"sum(rate(hemix_candidates_sum{{{_RANKER}}}[5m])) "
                                f"/ sum(rate(hemix_candidates_count{{{_RANKER}}}[5m]))",
                                "mean",
                            )
                        ],
                        "short",
                    ),
                ],
            ),
            (
                "Who is served what",
                9,
                [
                    lines(
                        "Requests by version",
                        "What each version of the experiment answers.",
                        [
                            (
                                f"namespace_variant_version:hemix_requests:rate5m{{{NS}}}",
                                "{{variant}} {{version}}",
                            )
                        ],
                        "reqps",
                        stack=True,
                    ),
                    lines(
                        "Share of users, as configured",
                        "The registry's shares as the rankers have them; compare with the left.",
                        [
                            (
                                f"max by (variant, version) (hemix_version_share{{{NS}}})",
                                "{{variant}} {{version}}",
                            )
                        ],
                        "percentunit",
                    ),
                ],
            ),
            (
                "What fails",
                9,
                [
                    lines(
                        "Predictor errors",
                        "Calls that gave no scores, by version and reason; and users who got the "
                        "champion instead of their own version.",
                        [
                            (
                                "sum by (version, reason) "
                                f"(rate(hemix_predictor_errors_total{{{NS}}}[5m]))",
                                "{{version}} {{reason}}",
                            ),
                            (
                                "sum by (version) "
                                f"(rate(hemix_predictor_fallbacks_total{{{NS}}}[5m]))",
                                "{{version}} answered by the champion",
                            ),
                            (
                                f"sum by (version) (rate(hemix_predictor_retries_total{{{NS}}}[5m]))",
                                "{{version}} second try",
                            ),
                        ],
                        "reqps",
                    ),
                    lines(
                        "Exposures and registry",
                        "Exposures that were not written are missing in the experiment.",
                        [
                            (
                                f"sum by (outcome) (rate(hemix_exposures_total{{{NS}}}[5m]))",
                                "exposures {{outcome}}",
                            ),
                            (
                                f"sum(rate(hemix_registry_errors_total{{{NS}}}[5m]))",
                                "registry errors",
                            ),
                        ],
                        "ops",
                    ),
                ],
            ),
        ],
    )
