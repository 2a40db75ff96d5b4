"""``hemix serve --role predictor``: one model version behind KServe V2, for transformers to ask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hemix.errors import HemixError, ModelVersionError
from hemix.features.store.assemble import RequestColumns
from hemix.progress import say
from hemix.serving.admission.limits import MAX_TENSOR_BYTES
from hemix.serving.launch.process import (
    Listening,
    Ports,
    addresses,
    limit_threads,
    log_to_stderr,
    run_server,
)
from hemix.serving.messages.soundness import require_sound
from hemix.serving.protocol.kserving import import_kserve
from hemix.serving.ranking.loaded_version import WARM_SIZES, load_model
from hemix.serving.registry.signing import require_signed
from hemix.serving.two_roles.contract import Contract
from hemix.storage import is_remote, local_copy


@dataclass(frozen=True, kw_only=True)
class PredictorConfig:
    """``model`` is a model version folder, or where one was uploaded whole (``s3://...``)."""

    model: str
    listening: Listening


def serve_predictor(config: PredictorConfig) -> None:
    """Serve one version until SIGTERM or SIGINT.

    Raises:
        EnvironmentProblem: a port is in use.
        ModelVersionError: the folder is not what its manifest says, or not signed as it must be, or
            does not load.
        UnsoundScores: the version scores some rows with what is no probability.
        StorageError: there is no whole model version at a remote location.
    """
    log_to_stderr()
    ports = Ports.take(config.listening)
    folder = local_copy(config.model) if is_remote(config.model) else Path(config.model)
    _check(folder)
    say(f"serve: loading {config.model}")
    import_kserve()
    from hemix.serving.two_roles.predictor_model import PredictorModel

    limit_threads(config.listening.threads)
    try:
        model = load_model(folder)
        contract = Contract.of(folder)
        for size in WARM_SIZES:
            user, items = contract.missing_rows(size)
            scores = model.score(model.transform(RequestColumns(user=user, items=items)))
            require_sound(model.name, scores, size)
    except HemixError:
        raise
    except Exception as error:  # whatever a version's files make a library raise
        text = f"{config.model}: the version does not load ({type(error).__name__}: {error})."
        raise ModelVersionError(text) from error
    served = PredictorModel(
        model,
        contract,
        workers=config.listening.workers,
        gate=config.listening.gate(),
    )
    say(
        f"serve: predictor of {model.name}\n"
        f"{addresses(config.listening, ports, model.name, v1=False)}"
    )
    run_server(served, config.listening, ports, body_limit=MAX_TENSOR_BYTES)
    say("serve: stopped")


def _check(folder: Path) -> None:
    """What is wrong with the files is said before anything slow is imported."""
    from hemix.models.versions.version import verify

    require_signed(folder)
    verify(folder)
