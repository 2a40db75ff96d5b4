"""Field-level dimension optimisation, held to the GDCN release (scikit-learn's PCA)."""

from __future__ import annotations

import torch

from hemix.models.embedding.dimensions import dimension
from tests.models.released_vectors import Case, adapter


@adapter("FDO")
def fdo(case: Case) -> None:
    tables = [case.read(key) for key in case.keys(r"table_\d+")]
    ratios = case.read("ratios").tolist()
    found = [[dimension(table, ratio) for table in tables] for ratio in ratios]
    case.equal("d_f", torch.tensor(found))
