"""Inputs and outputs of a pipeline whose workers are on other machines, by a folder they all mount."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from hemix.errors import EnvironmentProblem
from hemix.features.beam.runner_config import SHARED, expanded
from hemix.files import atomic_folder
from hemix.progress import say


def shared_folder(flags: Sequence[str]) -> Path | None:
    """The folder that ``--hemix_shared`` names."""
    prefix = f"{SHARED}="
    found = [flag.removeprefix(prefix) for flag in expanded(flags) if flag.startswith(prefix)]
    return Path(found[-1]) if found else None


@contextmanager
def staged(
    flags: Sequence[str], *, inputs: Mapping[str, Path], outputs: Mapping[str, Path]
) -> Iterator[dict[str, Path]]:
    """Paths of ``inputs`` and ``outputs`` that every worker sees.

    Without a shared folder they stay where they are. With one, inputs are copied there before and
    outputs (folders) brought to their places afterwards, each whole or not at all.

    Raises:
        EnvironmentProblem: the shared folder is not there.
        StorageError: an output cannot be written.
    """
    shared = shared_folder(flags)
    if shared is None:
        yield {**inputs, **outputs}
        return
    if not shared.is_dir():
        raise EnvironmentProblem(
            f"{shared}: the folder that workers share with this step is not there.",
            hint="Mount the volume in the step (volumes in the cluster settings) and in the workers.",
        )
    with tempfile.TemporaryDirectory(dir=shared, prefix="hemix-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        say(f"copying inputs to {folder}")
        for key, path in inputs.items():
            shutil.copytree(path, folder / key)
        yield {key: folder / key for key in (*inputs, *outputs)}
        for key, path in outputs.items():
            with atomic_folder(path) as target:
                shutil.copytree(folder / key, target, dirs_exist_ok=True)
