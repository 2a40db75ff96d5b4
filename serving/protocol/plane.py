"""What the HTTP and the gRPC service share: which model answers, decoded requests in, answers out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from kserve.protocol.dataplane import DataPlane

from hemix.errors import HemixError
from hemix.serving.admission.threaded_model import ThreadedModel
from hemix.serving.messages.echo import short
from hemix.serving.metrics import REQUESTS

PLATFORM = "hemix"


class NotHere(HemixError):
    """A model, a version or a path that the endpoint does not have."""

    exit_code = 8
    http_status = 404


class NotOffered(HemixError):
    """What kserve's protocol has and this endpoint does not."""

    exit_code = 8
    http_status = 501


class Plane(DataPlane):
    """kserve's data plane, but for what it does to requests and how it names what is not there."""

    def served(self, name: str, version: str | None = None) -> ThreadedModel:
        """The model of that name, whose ``version`` is live.

        Raises:
            NotHere: there is no such model or version; says which there are.
        """
        models = self.model_registry.get_models()
        model = models.get(name)
        if model is None:
            known = ", ".join(models)
            raise NotHere(f"model: {short(name)} is not served here; known: {known}.")
        if version:
            model.require_ready()
            live = model.live_versions()
            if version not in live:
                raise NotHere(
                    f"version: {short(version)} of {name} is not live; live: {', '.join(live)}."
                )
        return model

    def asked(self, name: str, version: str | None = None) -> ThreadedModel:
        """:meth:`served`, for a request: a version that the experiment chooses cannot be asked for."""
        model = self.served(name, version)
        if version and not model.answers_by_version:
            raise NotHere(
                f"version: the user's variant says which version of {name} answers;"
                " ask without a version."
            )
        return model

    async def ready(self) -> bool:
        """True when every model is warm."""
        models = self.model_registry.get_models().values()
        return all([await model.healthy() for model in models])

    async def model_metadata(self, model_name: str) -> dict[str, Any]:
        """Names and types of a model's tensors, and its live versions."""
        model = self.served(model_name)
        return {
            "name": model_name,
            "versions": model.live_versions(),
            "platform": PLATFORM,
            "inputs": model.get_input_types(),
            "outputs": model.get_output_types(),
        }

    async def model_ready(
        self, model_name: str, disable_predictor_health_check: bool = False
    ) -> bool:
        """Whether a model is warm; NotHere when there is none."""
        return bool(self.served(model_name).ready)

    async def explain(self, model_name: str, request: Any, headers: Any = None) -> Any:
        """There are no explanations."""
        raise NotHere(f"path: {short(model_name)} explains nothing; ask it to predict.")


@contextlib.contextmanager
def counted() -> Iterator[None]:
    """Count what is refused before a model sees it; the models count the rest."""
    try:
        yield
    except HemixError as error:
        REQUESTS.labels("", "", str(error.http_status)).inc()
        raise
