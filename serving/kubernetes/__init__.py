"""Model versions on Kubernetes: render manifests, apply them, move traffic, prune what is over."""
