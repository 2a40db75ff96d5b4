"""Apply a decision to the registry: promote or roll back, once, with the reason in the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hemix.errors import DefinitionError
from hemix.serving.experiments.assignment import MODEL_LAYER
from hemix.serving.experiments.design import design_of
from hemix.serving.experiments.layers import Experiments
from hemix.serving.experiments.results import Decision
from hemix.serving.registry.transitions import Note, next_in_line

if TYPE_CHECKING:
    from hemix.serving.registry.registry import Registry


def apply(decision: Decision, registry: Registry) -> Decision:
    """Do what was decided; doing it again, or when nothing is to do, changes nothing.

    A decision about a split that is no longer the registry's (someone was faster, or shares changed)
    is not applied.

    Raises:
        DefinitionError: the decision is about a layer of ``experiments.yaml``.
        RegistryError: the registry cannot be read or written.
    """
    if decision.verdict in ("none", "unusable", "continue"):
        return decision
    if decision.layer != MODEL_LAYER:
        raise DefinitionError(
            f"The layer {decision.layer} is not the registry's: it cannot be changed from here.",
            hint=f"Give {decision.arm!r} share 1 (promote) or take it out (roll back) in experiments.yaml.",
        )
    state = registry.state()
    if design_of(MODEL_LAYER, state, Experiments()).epoch != decision.epoch:
        return decision
    why = f"experiment {decision.epoch}: {decision.reasons[0]}"
    if decision.verdict == "promote":
        registry.promote(decision.version, why=why)
    else:
        registry.rollback(decision.version, why=why)
    if registry.state().queue:
        note = Note(why=f"next after experiment {decision.epoch}")
        registry.move(lambda state: next_in_line(state, note=note))
    return decision.model_copy(update={"applied": True})
