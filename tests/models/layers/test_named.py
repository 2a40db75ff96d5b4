"""Columns and tasks may be called as torch's own modules are."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hemix.models.layers.named import Named

OWN = sorted(name for name in dir(nn.ModuleDict()) if not name.startswith("_"))


def test_modules_of_any_name_are_kept_saved_and_loaded() -> None:
    assert {"type", "items", "keys", "training", "forward"} <= set(OWN)
    made = Named({name: nn.Linear(2, 1) for name in OWN})
    assert list(made) == OWN
    assert len(list(made.parameters())) == 2 * len(OWN)
    again = Named({name: nn.Linear(2, 1) for name in OWN})
    again.load_state_dict(made.state_dict())
    x = torch.ones(1, 2)
    assert all(torch.equal(again[name](x), made[name](x)) for name in OWN)
    made.eval()
    assert not made["type"].training


def test_weights_are_called_as_in_torchs_own() -> None:
    plain = nn.ModuleDict({name: nn.Linear(2, 1) for name in ("tab", "brand")})
    assert list(Named(dict(plain.items())).state_dict()) == list(plain.state_dict())
    for name in ("", "a.b"):
        with pytest.raises(KeyError):
            Named()[name] = nn.Identity()
