"""The experiment that runs in a layer: its arms with their planned shares, the control first."""

from __future__ import annotations

from dataclasses import dataclass

from hemix.errors import RegistryError
from hemix.serving.experiments.assignment import MODEL_LAYER, Variant, epoch_of, variants_of
from hemix.serving.experiments.layers import Experiments
from hemix.serving.registry.transitions import RegistryState


@dataclass(frozen=True, kw_only=True)
class Design:
    """``epoch`` is what its exposures are marked with; ``arms[0]`` is the control."""

    layer: str
    epoch: str
    arms: tuple[Variant, ...]

    @property
    def running(self) -> bool:
        """Whether there is anything to compare."""
        return len(self.arms) > 1


def design_of(layer: str, state: RegistryState, experiments: Experiments) -> Design:
    """The experiment of ``layer``: the registry's own, or one of ``experiments.yaml``.

    Raises:
        RegistryError: the registry serves no version.
        DefinitionError: no such layer.
    """
    if layer != MODEL_LAYER:
        found = experiments.layer(layer)
        return Design(layer=layer, epoch=found.epoch, arms=found.arms)
    if state.champion is None:
        raise RegistryError(
            "The registry holds no deployed model version.",
            hint="Run the pipeline first (hemix run), or pass --models DIR.",
        )
    arms = variants_of(state)
    return Design(layer=layer, epoch=epoch_of(arms, state.salt), arms=arms)
