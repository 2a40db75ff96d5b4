"""Beam options from a step's flags, and our failures out of a runner's.

The flags may come from a configuration of the runner: :mod:`hemix.features.beam.runner_config`.
"""

from __future__ import annotations

import importlib.util
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hemix import errors
from hemix.errors import HINT_NOTE, DefinitionError, EnvironmentProblem, HemixError
from hemix.features.beam.runner_config import DASK, SHARED, expanded
from hemix.limits import chain, limit_in, limit_of

_OURS = re.compile(
    rf"hemix\.errors\.(\w+): (.*?)(?: \[while running|\n{HINT_NOTE}|\n\n|\Z)", re.DOTALL
)


def beam_options(flags: Sequence[str], *, one_end: bool = False) -> Any:
    """``PipelineOptions`` of these flags; without ``--runner`` the pipeline runs in this process.

    Args:
        flags: Beam flags, or a configuration of a runner.
        one_end: everything that the pipeline does is needed by its last transform.

    The name DirectRunner first tries to download another runner; FnApiRunner is the one it means.

    Raises:
        DefinitionError: a flag that Beam does not know, or a runner that cannot be used.
        EnvironmentProblem: nothing listens at the job service's address.
    """
    from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions

    flags = [flag for flag in expanded(flags) if not flag.startswith(f"{SHARED}=")]
    named = any(flag.startswith("--runner=") for flag in flags)
    if not named:
        _check_known(flags)
        flags.append("--runner=FnApiRunner")
    if f"--runner={DASK}" in flags:
        _check_dask(flags, one_end)
    options = PipelineOptions(flags)
    if endpoint := options.view_as(PortableOptions).job_endpoint:
        _check_listening(endpoint)
    return options


def _check_known(flags: Sequence[str]) -> None:
    """Beam itself drops what it does not know; job services have options of their own."""
    from apache_beam.options import pipeline_options

    parser = pipeline_options._BeamArgumentParser(add_help=False, allow_abbrev=False)
    for kind in (
        pipeline_options.DirectOptions,
        pipeline_options.StandardOptions,
        pipeline_options.TypeOptions,
        pipeline_options.DebugOptions,
        pipeline_options.SetupOptions,
    ):
        kind._add_argparse_args(parser)
    _, unknown = parser.parse_known_args(list(flags))
    if unknown:
        raise DefinitionError(
            f"--runner-options: {unknown[0]} is not an option of the direct runner.",
            hint="Known: --direct_running_mode, --direct_num_workers; name a --runner for others.",
        )


def _check_dask(flags: Sequence[str], one_end: bool) -> None:
    if not one_end:
        raise DefinitionError(
            "--runner-options: the Dask runner cannot do this step: it computes only what the last "
            "transform of a pipeline needs, and leaves the rest undone without an error.",
            hint="Use direct, portable, flink, spark or dataflow; dask does for build_examples.",
        )
    if importlib.util.find_spec("distributed") is None:
        raise EnvironmentProblem(
            "The Dask runner needs the package distributed, which is not installed.",
            hint="pip install distributed, of the version that constraints.txt has.",
        )
    address = next((f for f in flags if f.startswith("--dask_client_address=")), "")
    if not address:
        raise DefinitionError(
            "--runner-options: the Dask runner needs --dask_client_address.",
            hint='Write "runner: dask, scheduler: HOST:PORT".',
        )
    _check_listening(address.rpartition("=")[2].removeprefix("tcp://"), "Dask scheduler")


def _check_listening(endpoint: str, what: str = "Beam job service") -> None:
    host, _, port = endpoint.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise EnvironmentProblem(
            f"No {what} listens at {endpoint} ({error}).",
            hint="Start it, or correct its address in --runner-options.",
        ) from error


def _lost(error: Any) -> EnvironmentProblem:
    code = error.code().name
    if code == "DEADLINE_EXCEEDED":
        return EnvironmentProblem(
            "The Beam job did not end in time.",
            hint="Set timeout_s in --runner-options (--job_server_timeout), or give it more workers.",
        )
    return EnvironmentProblem(
        f"The Beam job service was lost ({code}: {error.details()}).",
        hint="See its log; the step can be run again.",
    )


@contextmanager
def own_errors() -> Iterator[None]:
    """Raise the :class:`HemixError` that failed a pipeline as itself, a full disk as what it is.

    A runner makes the error anew with the step's name behind its message, or hands over a worker's
    traceback as text.
    """
    try:
        yield
    except Exception as error:
        if type(error).__module__.startswith("grpc"):
            raise _lost(error) from error
        for ours, _ in chain(error):
            if isinstance(ours, HemixError) and "[while running" not in ours.message:
                raise ours from error
        text = str(error)
        if isinstance(error, HemixError):
            text = f"hemix.errors.{type(error).__name__}: {text}"
        found = _OURS.search(text)
        kind = getattr(errors, found[1], None) if found else None
        if found is not None and kind is not None:
            message = " ".join(found[2].split())
            hint = next((hint for hint in _noted(text) if message.endswith(hint)), "")
            if not hint and (limit := limit_in(text)):
                hint = limit.hint
            raise kind(message.removesuffix(hint).strip(), hint=hint) from error
        if limit := limit_of(error):
            raise limit.error() from error
        raise


def _noted(text: str) -> list[str]:
    """The hints that a traceback's text tells of."""
    lines = (line.strip() for line in text.splitlines())
    hints = (line.removeprefix(HINT_NOTE) for line in lines if line.startswith(HINT_NOTE))
    return [" ".join(hint.split()) for hint in hints if hint]
