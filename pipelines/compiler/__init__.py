"""From a pipeline function to IR YAML for a cluster."""
