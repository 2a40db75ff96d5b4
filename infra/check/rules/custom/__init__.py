"""Rules of other projects' kinds: KServe, Kubeflow Trainer, Gateway API, KEDA, Prometheus operator."""
