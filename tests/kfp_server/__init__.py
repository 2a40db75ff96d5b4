"""A Kubeflow Pipelines API server for tests: state in memory, a clock by hand, loopback only.

What it imitates was read from KFP's sources (backend/src/apiserver, backend/src/crd/controller/
scheduledworkflow, backend/src/common/util/parameter_formatter.go); requests and answers are held
against the published swagger. It runs no pods: how tasks end is scripted by the test.
"""

from tests.kfp_server.server import KfpServer
from tests.kfp_server.timeline import Script

__all__ = ["KfpServer", "Script"]
