"""The step that starts another pipeline."""
