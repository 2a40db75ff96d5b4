"""Modules under names that people chose."""

from __future__ import annotations

from typing import Any

from torch import nn


class Named(nn.ModuleDict):
    """A :class:`torch.nn.ModuleDict` that takes every name, such as ``type`` or ``items``.

    torch refuses the names of a module's own attributes, which a column of a log may well have. The
    weights are called as in any module: ``tables.type.weight``.
    """

    def __setitem__(self, key: str, module: nn.Module) -> None:
        if "." in key or not key:
            raise KeyError(f"{key!r} is no name of a module")
        self._modules[key] = module

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "training":  # the one attribute that torch sets later
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)
