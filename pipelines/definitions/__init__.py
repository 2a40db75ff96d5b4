"""Which steps run in which order: the Kubeflow pipelines."""
