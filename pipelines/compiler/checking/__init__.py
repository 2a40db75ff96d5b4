"""Is compiled IR YAML sound? What the protobuf accepts and a cluster would trip over later."""

from hemix.pipelines.compiler.checking.check import Checked, check

__all__ = ["Checked", "check"]
