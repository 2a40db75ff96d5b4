"""What each part of HeMix is worth: each variant by configuration alone.

``python -m benchmarks.ablation --run runs/demo`` trains every variant with the same training, once
a seed; nothing is tuned for a variant. Finished trainings are kept. The last line is JSON.
"""

from __future__ import annotations

import sys

from benchmarks.accuracy.variants import run

# RankMixer's and TokenMixer-Large's mixing need a width that the 12 tokens divide.
DIVISIBLE = {"model.token_width": "36"}
VARIANTS: dict[str, dict[str, str]] = {
    "HeMix": {},
    "without fixed queries": {"model.fixed_global": "0", "model.fixed_realtime": "0"},
    "without dynamic queries": {"model.dynamic_queries": "false"},
    "without the global sequence": {"model.sequences": "realtime"},
    "without the real-time sequence": {"model.sequences": "global"},
    "one query projection": {"model.query_projection": "shared"},
    "mean pooling": {"model.interest": "mean"},
    "DIN in place of query mixing": {"model.interest": "din"},
    "recent events as queries": {"model.interest": "recent"},
    "no mixing": {"model.mixer": "none"},
    "Transformer block": {"model.mixer": "transformer"},
    "width 36": DIVISIBLE,
    "RankMixer block, width 36": {**DIVISIBLE, "model.mixer": "rankmixer"},
    "TokenMixer-Large block, width 36": {**DIVISIBLE, "model.mixer": "tokenmixer_large"},
    "full rank": {"model.rank": "null"},
    "shared mixing": {"model.shared_mixing": "true"},
    "no reconstruction": {"model.reconstruction": "false"},
    "shared FFN": {"model.shared_ffn": "true"},
    "no cross layer": {"model.crosses": "0"},
    "no blocks": {"model.blocks": "0"},
    "norm in the tokenizer too": {"model.token_norm": "true"},
    "norms before the halves": {"model.norm": "pre_rms"},
    "no norms": {"model.norm": "none"},
    "mean readout": {"model.readout": "mean"},
    "a token a task read": {"model.readout": "task"},
    "mean of the NS tokens read": {"model.readout": "ns"},
    "a layer before the split": {"model.tokenizer_hidden": "128"},
    "queries by a projection of their own": {"model.query_source": "own"},
    "NS tokens not fed": {"model.feed_ns": "false"},
    "keys and values shared": {"model.share_keys": "true"},
    "residual of the query": {"model.query_residual": "true"},
    "Transformer layer over the events": {"model.encode_events": "true"},
    "DIN's interest among the fields": {"model.candidate_interest": "true"},
    "that and TokenMixer-Large's block, width 36": {
        **DIVISIBLE,
        "model.candidate_interest": "true",
        "model.mixer": "tokenmixer_large",
    },
    "GELU in the mixing": {"model.mix_activation": "gelu"},
    "SwiGLU FFN": {"model.ffn": "swiglu"},
}


if __name__ == "__main__":
    sys.exit(run("ablation", __doc__, VARIANTS))
