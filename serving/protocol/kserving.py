"""Importing kserve without letting it read our command line.

``kserve.model_server`` parses ``sys.argv`` when it is imported and ends the process on options
that only look like its own (``--protocol grpc``).
"""

from __future__ import annotations

import sys
from types import ModuleType


def import_kserve() -> ModuleType:
    """The kserve package, imported with an empty command line."""
    arguments = sys.argv
    sys.argv = arguments[:1]
    try:
        import kserve
        import kserve.model_server
    finally:
        sys.argv = arguments
    return kserve
