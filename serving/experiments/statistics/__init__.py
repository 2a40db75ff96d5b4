"""Effects, intervals and guardrails of an experiment."""
