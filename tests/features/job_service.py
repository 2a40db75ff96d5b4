"""Beam's local job service, which asks the worker pool for as many workers as the first argument says.

``python -m tests.features.job_service WORKERS --port_file FILE``. Beam's own has one worker an
environment; the rest of the protocol is the same, and it is the one that Flink's job server speaks.
"""

from __future__ import annotations

import sys
from typing import Any

from apache_beam.runners.portability import local_job_service_main
from apache_beam.runners.portability.fn_api_runner import fn_runner

WORKERS = int(sys.argv[1])


class Runner(fn_runner.FnApiRunner):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._num_workers = WORKERS


if __name__ == "__main__":
    fn_runner.FnApiRunner = Runner
    local_job_service_main.run(sys.argv[2:])
