"""Shapes of the rankers that bring their dense parameters to HeMix's, a log.

A ranker's own default shape is near it on KuaiRand; another log has other fields, and a width that
was near there is far here. Only the size changes, in the one or two fields named; what came out
stands in the result file. SOURCE of the sizes: counted, for recipe ``compact`` of each log.

Gated crosses (GCN, GDCN) have two matrices a layer over all vectors side by side: one layer has the
size, with narrower vectors. AdaEnsemble has two layers of two experts. FM has no size but its tables'.
"""

from __future__ import annotations

COMPARED = (
    *("dcnv2", "din", "sim", "eta", "longer", "hstu", "onetrans"),
    *("dlrm", "autoint", "wukong", "hiformer", "rankmixer", "tokenmixer_large"),
    *("deepfm", "xdeepfm", "nfm", "afn", "fibinet", "dcn", "gcn", "gdcn_s", "gdcn_p"),
    *("xdeepint", "dynint", "adaensemble"),
)
"""Rankers whose shape on KuaiRand, its default one or that named below, is to be HeMix's size."""
_TWO_EXPERTS = {
    "model.layers": "2",
    "model.experts": "[gated, polynomial]",
    "model.expert_shares": "[]",
    "model.exit_shares": "[]",
    "model.chosen": "1",
}
SHAPES: dict[str, dict[str, dict[str, str]]] = {
    "kuairand": {
        "adaensemble": {**_TWO_EXPERTS, "model.embedding.width": "4"},
        "afn": {"model.deep": "[640, 128]"},
        "dcn": {"model.deep": "[704, 128]"},
        "dcnv2": {"model.crosses": "1"},
        "deepfm": {"model.deep": "[704, 128]"},
        "din": {"model.tower": "[576, 128, 64]"},
        "dynint": {"model.bits": "true"},
        "fibinet": {"model.deep": "[9, 64]"},
        "gcn": {"model.crosses": "1", "model.embedding.width": "6"},
        "gdcn_p": {"model.crosses": "1", "model.embedding.width": "6", "model.deep": "[64]"},
        "gdcn_s": {"model.crosses": "1", "model.embedding.width": "6", "model.deep": "[64]"},
        "nfm": {"model.deep": "[720, 720]"},
        "xdeepfm": {"model.deep": "[384, 64]"},
        "xdeepint": {"model.layers": "5"},
    },
    "ebnerd": {
        "adaensemble": {**_TWO_EXPERTS, "model.embedding.width": "5"},
        "afn": {"model.deep": "[416, 64]"},
        "autoint": {"model.deep": "[352, 256]"},
        "dcn": {"model.deep": "[480, 64]"},
        "dcnv2": {"model.crosses": "1", "model.deep": "[224, 64]"},
        "deepfm": {"model.deep": "[480, 64]"},
        "din": {"model.tower": "[448, 128, 64]"},
        "dlrm": {"model.top": "[208, 64]"},
        "dynint": {"model.layers": "5"},
        "eta": {"model.trunk": "[520]"},
        "fibinet": {"model.deep": "[14, 64]"},
        "gcn": {"model.crosses": "1", "model.embedding.width": "7", "model.tower": "[64]"},
        "gdcn_p": {"model.crosses": "1", "model.embedding.width": "7", "model.deep": "[64]"},
        "gdcn_s": {"model.crosses": "1", "model.embedding.width": "7", "model.deep": "[64]"},
        "hiformer": {"model.rank": "28"},
        "hstu": {"model.trunk": "[424]"},
        "longer": {"model.trunk": "[192]"},
        "nfm": {"model.deep": "[448, 448]"},
        "onetrans": {"model.token_width": "40", "model.hidden": "192"},
        "rankmixer": {"model.token_width": "40"},
        "sim": {"model.trunk": "[424]"},
        "tokenmixer_large": {"model.token_width": "40", "model.tower": "[256, 64]"},
        "wukong": {"model.hidden": "[192]"},
        "xdeepfm": {"model.deep": "[352, 64]"},
        "xdeepint": {"model.layers": "7"},
    },
}
"""Fields to set, by recipe, by data set."""


def shape_of(dataset: str, recipe: str) -> dict[str, str]:
    """What to set so that ``recipe`` has about HeMix's size on ``dataset``; empty if unknown."""
    return SHAPES.get(dataset, {}).get(recipe, {})
