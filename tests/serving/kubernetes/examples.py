"""Settings that between them use everything that can be rendered."""

from __future__ import annotations

GATEWAY = "{name: hemix-inner, namespace: gateways, listener: pods, url: 'http://inner.gateways'}"
SETTINGS = {
    "as shipped": "",
    "hpa and a fixed number": (
        "ranker: {scaling: {by: hpa, min_replicas: 3}, workers: 4}\n"
        "predictor: {scaling: {by: none, min_replicas: 1}, node_selector: {pool: serving}}\n"
    ),
    "keda": (
        "ranker: {scaling: {by: keda, prometheus: 'http://prometheus.monitoring:9090'}}\n"
        "predictor: {scaling: {by: keda}}\n"
        "secrets: {redis: hemix-redis, signing: hemix-signing, pull: [registry]}\n"
    ),
    "gpu and a claim": (
        "predictor: {resources: {gpu: 1, memory: 16Gi, cpu: 2, cpu_limit: '4'}}\n"
        "ranker: {secret_env: {PGPASSWORD: {secret: hemix-postgres, key: password}}}\n"
        "storage: {models: 'pvc://data/registry', features: /var/lib/hemix/store, claim: data,\n"
        "  events: 'redis://hemix-redis:6379/1'}\n"
        "service_port: 8080\n"
    ),
    "an image of the ranker on trial": "rollout: {image: 'example.com/serve:2', percent: 10}\n",
    "an image of the predictors on trial": (
        f"inner_gateway: {GATEWAY}\n"
        "rollout: {image: 'example.com/serve:2', percent: 10, role: predictor, name: cu13}\n"
    ),
    "layers and host names": (
        "gateway: {name: public, listener: https, hostnames: [rank.example.com]}\n"
        "experiments: {layers: [{name: final, salt: s, variants: [{name: a, share: 1.0}]}]}\n"
    ),
}
