"""``make cluster-check``: everything that goes into a cluster, rendered and validated.

    .venv/bin/python -m hemix.infra.check                            # all that is shipped
    .venv/bin/python -m hemix.infra.check --overlay path/to/overlay  # an overlay of your own
    make cluster-check OVERLAY=path/to/overlay

Core types by Kubernetes' published schemas, custom ones by a real API server that holds their
definitions, rules by promtool, pipelines by ``hemix compile --check``. Without --overlay each of these
is then given objects that are broken on purpose and must refuse them.

With --overlay your overlays alone are judged, wherever they lie, together with what `hemix deploy` and
the train step would apply there: in the overlay's namespace, with the images of the cluster settings.
Settings that differ from the shipped ones are named by an option, or found in the overlay's folder
under the name in brackets.

Exit code: 0 all is well, 1 something was refused, a broken one was not, or an argument is wrong, 2 a
tool is missing (the rest is checked all the same).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hemix.errors import DefinitionError, HemixError
from hemix.infra.check.report import Report
from hemix.infra.check.run import check_all, check_overlays
from hemix.infra.check.users.settings import Files
from hemix.infra.check.users.targets import kustomization

_FILES = {
    "settings": "[cluster.yaml] cluster settings, as hemix compile --settings takes them",
    "deploy": "[deploy.yaml] deployment settings, as hemix deploy --settings takes them",
    "training-cluster": "[training_cluster.yaml] settings of trainings on several nodes",
    "own": "[own.yaml] names that are yours alone; without one infra/kustomize/own.yaml",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, print, and end with the counts."""
    parser = argparse.ArgumentParser(
        prog="python -m hemix.infra.check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    told = "folder of an overlay of your own, with its kustomization.yaml; may be given again"
    parser.add_argument("--overlay", action="append", type=Path, metavar="FOLDER", help=told)
    for name, meant in _FILES.items():
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=meant)
    given = vars(parser.parse_args(arguments))
    overlays: list[Path] = given.pop("overlay") or []
    report = Report()
    try:
        _there(overlays, given)
        if overlays:
            check_overlays(report, overlays, Files(**given))
        else:
            check_all(report)
    except HemixError as error:
        print(error, file=sys.stderr)
        return 1
    print(report.text(), flush=True)
    return report.exit_code


def _there(overlays: Sequence[Path], files: dict[str, Path | None]) -> None:
    """Refuse paths that lead nowhere."""
    for folder in overlays:
        if not folder.is_dir():
            raise DefinitionError(f"--overlay {folder}: there is no such folder.")
        if kustomization(folder) is None:
            raise DefinitionError(f"--overlay {folder}: there is no kustomization.yaml in it.")
    for name, path in files.items():
        option = f"--{name.replace('_', '-')}"
        if path is not None and not path.is_file():
            raise DefinitionError(f"{option} {path}: there is no such file.")
        if path is not None and not overlays:
            raise DefinitionError(f"{option} {path}: is read for an overlay; add --overlay FOLDER.")


if __name__ == "__main__":
    sys.exit(main())
