"""Shapes of the rankers that bring their dense parameters to HeMix's, a log.

A ranker's own default shape is near it on KuaiRand; another log has other fields, and a width that
was near there is far here. Only the size changes, in the one or two fields named; what came out
stands in the result file. SOURCE of the sizes: counted, for recipe ``compact`` of each log.
"""

from __future__ import annotations

COMPARED = (
    *("dcnv2", "din", "sim", "eta", "longer", "hstu", "onetrans"),
    *("dlrm", "autoint", "wukong", "hiformer", "rankmixer", "tokenmixer_large"),
)
"""Rankers whose shape on KuaiRand, its default one or that named below, is to be HeMix's size."""
SHAPES: dict[str, dict[str, dict[str, str]]] = {
    "kuairand": {
        "dcnv2": {"model.crosses": "1"},
        "din": {"model.tower": "[576, 128, 64]"},
    },
    "ebnerd": {
        "autoint": {"model.deep": "[352, 256]"},
        "dcnv2": {"model.crosses": "1", "model.deep": "[224, 64]"},
        "din": {"model.tower": "[448, 128, 64]"},
        "dlrm": {"model.top": "[208, 64]"},
        "eta": {"model.trunk": "[520]"},
        "hiformer": {"model.rank": "28"},
        "hstu": {"model.trunk": "[424]"},
        "longer": {"model.trunk": "[192]"},
        "onetrans": {"model.token_width": "40", "model.hidden": "192"},
        "rankmixer": {"model.token_width": "40"},
        "sim": {"model.trunk": "[424]"},
        "tokenmixer_large": {"model.token_width": "40", "model.tower": "[256, 64]"},
        "wukong": {"model.hidden": "[192]"},
    },
}
"""Fields to set, by recipe, by data set."""


def shape_of(dataset: str, recipe: str) -> dict[str, str]:
    """What to set so that ``recipe`` has about HeMix's size on ``dataset``; empty if unknown."""
    return SHAPES.get(dataset, {}).get(recipe, {})
