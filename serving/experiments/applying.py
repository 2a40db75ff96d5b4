"""Apply a decision to the registry: promote or roll back, once, with the reason in the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hemix.errors import DefinitionError
from hemix.serving.experiments.assignment import MODEL_LAYER
from hemix.serving.experiments.design import design_of
from hemix.serving.experiments.layers import Experiments
from hemix.serving.experiments.results import Decision
from hemix.serving.registry import transitions as moves
from hemix.serving.registry.transitions import Note, RegistryState, next_in_line

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
    step = moves.promote if decision.verdict == "promote" else moves.rollback
    done: list[bool] = []

    def decided(now: RegistryState) -> RegistryState:
        """The decision, over the very state that it is about; over another one nothing."""
        done[:] = [design_of(MODEL_LAYER, now, Experiments()).epoch == decision.epoch]
        return step(now, decision.version, note=Note(why=why)) if done[0] else now

    registry.require_there(decision.version)
    registry.move(decided)
    if not done[0]:
        return decision
    if registry.state().queue:
        note = Note(why=f"next after experiment {decision.epoch}")
        registry.move(lambda state: next_in_line(state, note=note))
    return decision.model_copy(update={"applied": True})
