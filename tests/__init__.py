"""All tests, beside the packages that they test."""

import os

# Tests run beside each other on few cores. There OpenMP's threads wait for one another in busy loops,
# in the processes that tests start too: half of an evaluation's processor time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
