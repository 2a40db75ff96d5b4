"""One pipeline function, built twice: bare for this machine, configured for a cluster.

kfp traces a pipeline's function when it is decorated, so settings cannot be laid over the result.
A :class:`Pipeline` keeps the function and traces it when asked: without settings for ``kfp.local``
(which would run a cluster's retries for real), with them for ``hemix compile``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from hemix.pipelines.compiler.task_settings import configure

if TYPE_CHECKING:
    from hemix.pipelines.compiler.cluster_settings import ClusterSettings

PASSED = "Output"
"""What a task says by ``True`` or ``False``: a gate, whether its verdict passed. ``kfp.local`` finds
only an output of this name in a condition (docs/decisions/0001-local-runs.md)."""
_BUILT: ContextVar[Mapping[str, Any] | None] = ContextVar("built", default=None)


class Pipeline:
    """A pipeline by name; called inside another pipeline's function it becomes a nested task.

    Args:
        function: wires the tasks; its signature is the pipeline's interface.
        name: the pipeline's name on the cluster.
        description: one sentence for people.
        uses: pipelines that ``function`` nests; kfp must trace them before it traces this one.
    """

    def __init__(
        self,
        function: Callable[..., None],
        *,
        name: str,
        description: str,
        uses: tuple[Pipeline, ...] = (),
    ) -> None:
        self.function = function
        self.name = name
        self.description = description
        self.uses = uses

    def build(self, settings: ClusterSettings | None = None) -> Any:
        """The kfp pipeline object, with ``settings`` on every task; bare without."""
        from kfp import dsl

        built = {pipeline.name: pipeline.build(settings) for pipeline in self.uses}

        @functools.wraps(self.function)
        def traced(*arguments: Any, **named: Any) -> None:
            self.function(*arguments, **named)
            if settings is not None:
                _configure_tasks(settings)

        token = _BUILT.set(built)
        try:
            return dsl.pipeline(name=self.name, description=self.description)(traced)
        finally:
            _BUILT.reset(token)

    def __call__(self, **arguments: Any) -> Any:
        """A task of the pipeline that is being traced; outside of one, a run on this machine."""
        nested = (_BUILT.get() or {}).get(self.name)
        return (nested or self.build())(**arguments)


def pipeline(
    *, name: str, description: str, uses: tuple[Pipeline, ...] = ()
) -> Callable[[Callable[..., None]], Pipeline]:
    """Decorator: make a :class:`Pipeline` of a function."""
    return lambda function: Pipeline(function, name=name, description=description, uses=uses)


def _configure_tasks(settings: ClusterSettings) -> None:
    from kfp.dsl.pipeline_context import Pipeline as Tracing

    for task in Tracing.get_default_pipeline().tasks.values():
        if task.container_spec is not None:  # a nested pipeline configured its own tasks
            configure(task, settings)
