"""Kinds that a newcomer's mistakes fell into and that passed once: a few of each."""

from __future__ import annotations

from hemix.infra.check.mistakes.mistake import ADD, GONE, Mistake, mistake

_JOB, _SERVER, _WORKER = (f"Deployment hemix-flink-{p}" for p in ("jobmanager", "jobserver", "taskmanager"))  # fmt: skip
_REDIS, _QUOTA, _LIMITS = "StatefulSet hemix-redis", "ResourceQuota", "LimitRange"
_POD = ("spec", "template", "spec")
_C0, _C1 = (*_POD, "containers", 0), (*_POD, "containers", 1)
_V, _R = "InferenceService ranker-20220507", "InferenceService ranker"
_P = ("spec", "predictor")
_M, _RC = (*_P, "model"), (*_P, "containers", 0)
_RUN, _RUNC = "ServingRuntime", ("spec", "containers", 0)
_T, _TRAINER, _RUNTIME = "TrainJob", ("spec", "trainer"), "TrainingRuntime"
_NODE_POD = ("spec", "runtimePatches", 0, "trainingRuntimeSpec", "template", "spec", "replicatedJobs", 0,
             "template", "spec", "template", "spec")  # fmt: skip
_RT_POD = ("spec", "template", "spec", "replicatedJobs", 0, "template", "spec", "template", "spec")
_ALERTS, _RECORDS = "PrometheusRule hemix-alerts", "PrometheusRule hemix-recording"
_STORAGE, _HARD = "ClusterStorageContainer", ("spec", "hard")
_SCALED, _SCALED_V = "ScaledObject ranker", "ScaledObject ranker-20220507"
_TRIGGER = ("spec", "triggers", 0)
_CONF = ("data", "redis.conf")
_REDIS_CONF = "port 6379\nprotected-mode yes\ndir /data\nappendonly yes\nappendfsync everysec\nsave \"\"\nmaxmemory-policy noeviction\n"  # fmt: skip
_PREDICTORS = ("data", "predictors.yaml")
_URL = "http://ranker-{}-predictor.hemix"


def _predictors(first: str, second: str) -> str:
    return (
        f"salt: s\npredictors:\n- {{version: 20220430-1a2b3c4d, state: champion, share: 0.9, url: '{first}'}}\n"
        f"- {{version: 20220507-5e6f7a8b, state: challenger, share: 0.1, url: '{second}'}}\n"
    )


_FIRST, _SECOND = _URL.format("20220430-1a2b3c4d"), _URL.format("20220507-5e6f7a8b")


def _work(**places: str) -> str:
    import json

    from hemix.components.train.worker import Work

    whole = {"recipe": {}, "spec": "s3://runs/inputs/spec", "train": "s3://runs/inputs/train",
             "validation": "s3://runs/inputs/validation", "checkpoints": "s3://runs/checkpoints",
             "attempt": "0123456789ab"}  # fmt: skip
    return json.dumps(Work.model_validate({**whole, **places}).model_dump())


NEWCOMER: tuple[Mistake, ...] = (
    # quotas and defaults
    mistake("a quota on CPU limits that no container has", _QUOTA, (*_HARD, "limits.cpu"), "400"),
    mistake("a quota of one ConfigMap", _QUOTA, (*_HARD, "count/configmaps"), "1"),
    mistake("a quota of one ConfigMap, by its old name", _QUOTA, (*_HARD, "configmaps"), "1"),
    mistake("a quota of one secret", _QUOTA, (*_HARD, "secrets"), "1"),
    mistake("a quota of no Deployment", _QUOTA, (*_HARD, "count/deployments.apps"), "0"),
    mistake("a quota of one endpoint", _QUOTA, (*_HARD, "count/inferenceservices.serving.kserve.io"), "1"),
    mistake("a quota of no TrainJob", _QUOTA, (*_HARD, "count/trainjobs.trainer.kubeflow.org"), "0"),
    mistake("a quota of pods that ask for nothing", _QUOTA, ("spec", "scopes"), ["BestEffort"]),
    mistake("a quota of pods with an end", _QUOTA, ("spec", "scopes"), ["Terminating"]),
    mistake("a quota that KFP's pods do not count in", _QUOTA, (*_HARD, "pods"), "14"),
    mistake("defaults of memory below what the smallest asks", _LIMITS, ("spec", "limits", 0, "default", "memory"), "200Mi"),
    mistake("defaults of disk below the initializer's request", _LIMITS, ("spec", "limits", 0, "default", "ephemeral-storage"), "1Gi"),
    mistake("a least size above what redis asks", _LIMITS, ("spec", "limits", 0, "min"), {"cpu": "4"}),
    mistake("a largest size below what a training asks", _LIMITS, ("spec", "limits", 0, "max"), {"memory": "16Gi"}),
    # probes
    mistake("a probe over HTTPS of a plain port", _V, (*_M, "readinessProbe", "httpGet", "scheme"), "HTTPS"),
    mistake("Flink asked over HTTPS", _JOB, (*_C0, "readinessProbe", "httpGet", "scheme"), "HTTPS"),
    mistake("a liveness that asks whether the model is loaded", _R, (*_RC, "livenessProbe", "httpGet", "path"), "/v2/models/ranker/ready"),
    mistake("a startup that asks another path", _V, (*_M, "startupProbe", "httpGet", "path"), "/v2/health/ready"),
    mistake("a liveness by redis-cli alone", _REDIS, (*_C0, "livenessProbe", "exec", "command"), ["redis-cli", "ping"]),
    mistake("a readiness that LOADING passes", _REDIS, (*_C0, "readinessProbe", "exec", "command"), ["sh", "-c", "redis-cli ping"]),
    mistake("a liveness of a job server's other port", _SERVER, (*_C0, "livenessProbe", "tcpSocket", "port"), "artifacts"),
    mistake("a probe of headers", _V, (*_M, "readinessProbe", "httpGet", "httpHeaders"), [{"name": "Host", "value": "x"}]),
    mistake("a probe of a host", _R, (*_RC, "readinessProbe", "httpGet", "host"), "127.0.0.1"),
    mistake("a first liveness after an hour", _REDIS, (*_C0, "livenessProbe", "initialDelaySeconds"), 3600),
    # addresses
    mistake("a predictor of another namespace", "ConfigMap ranker-predictors", _PREDICTORS, _predictors(_FIRST, _SECOND.replace(".hemix", ".other"))),
    mistake("a predictor over https", "ConfigMap ranker-predictors", _PREDICTORS, _predictors(_FIRST, _SECOND.replace("http:", "https:"))),
    mistake("two versions at one address", "ConfigMap ranker-predictors", _PREDICTORS, _predictors(_FIRST, _FIRST)),
    mistake("versions at each other's address", "ConfigMap ranker-predictors", _PREDICTORS, _predictors(_SECOND, _FIRST)),
    mistake("a predictor at its gRPC port", "ConfigMap ranker-predictors", _PREDICTORS, _predictors(_FIRST, _SECOND + ":8081")),
    mistake("a predictor's address with a path", "ConfigMap ranker-predictors", _PREDICTORS, _predictors(_FIRST, _SECOND + "/v1/models")),
    mistake("events to redis over TLS", _R, (*_RC, "args", 14), "rediss://hemix-redis:6379/1"),
    mistake("events to a database that redis has not", _R, (*_RC, "args", 14), "redis://hemix-redis:6379/16"),
    mistake("events to the features' database", _R, (*_RC, "args", 14), "redis://hemix-redis:6379/0"),
    mistake("events to another port of redis", _R, (*_RC, "args", 14), "redis://hemix-redis:6380/1"),
    mistake("a job server that asks Flink's rpc port", _SERVER, (*_C0, "args", 0), "--flink-master=hemix-flink:6123"),
    mistake("a job server that asks itself", _SERVER, (*_C0, "args", 0), "--flink-master=hemix-flink-jobserver:8099"),
    mistake("a Prometheus at a Service without a namespace", _SCALED, (*_TRIGGER, "metadata", "serverAddress"), "http://prometheus:9090"),
    mistake("a Prometheus asked at its path of a query", _SCALED, (*_TRIGGER, "metadata", "serverAddress"), "http://prometheus.monitoring:9090/api/v1/query"),
    # redis
    mistake("a quoted here-document", _REDIS, (*_C0, "args", 0),
            "exec redis-server - <<'END'\n$(cat /etc/redis/redis.conf)\nmaxmemory $MAXMEMORY\nrequirepass \"$REDISCLI_AUTH\"\nEND\n"),
    mistake("redis with one database", "ConfigMap hemix-redis", _CONF, _REDIS_CONF + "databases 1\n"),
    mistake("redis for ten clients", "ConfigMap hemix-redis", _CONF, _REDIS_CONF + "maxclients 10\n"),
    mistake("redis that never rewrites its file", "ConfigMap hemix-redis", _CONF, _REDIS_CONF + "auto-aof-rewrite-percentage 0\n"),
    mistake("redis with a thousand threads", "ConfigMap hemix-redis", _CONF, _REDIS_CONF + "io-threads 1000\n"),
    mistake("redis that says nothing", "ConfigMap hemix-redis", _CONF, _REDIS_CONF + "loglevel quiet\n"),
    mistake("redis' configuration under another name", _REDIS, (*_POD, "volumes", 0, "configMap", "items"), [{"key": "redis.conf", "path": "server.conf"}]),
    mistake("redis' password from nowhere", _REDIS, (*_C0, "env", 1, "valueFrom", "secretKeyRef", "optional"), True),
    mistake("redis that changes when its pod is removed by hand", _REDIS, ("spec", "updateStrategy"), {"type": "OnDelete"}),
    mistake("redis with the account of the endpoint", _REDIS, (*_POD, "serviceAccountName"), "hemix-serving"),
    mistake("redis in 1 MB", _REDIS, (*_C0, "env", 0, "value"), "1mb"),
    # sizes
    mistake("a predictor in 128 MiB", _V, (*_M, "resources"), {"requests": {"cpu": "1", "memory": "128Mi"}, "limits": {"memory": "128Mi"}}),
    mistake("a ranker in 256 MiB", _R, (*_RC, "resources"), {"requests": {"cpu": "1", "memory": "256Mi"}, "limits": {"memory": "256Mi"}}),
    mistake("a ranker of a hundredth CPU", _R, (*_RC, "resources", "requests", "cpu"), "10m"),
    mistake("an initializer that asks for 64 MiB", _STORAGE, ("spec", "container", "resources", "requests", "memory"), "64Mi"),
    mistake("an initializer of a hundredth CPU limit", _STORAGE, ("spec", "container", "resources", "limits", "cpu"), "10m"),
    mistake("a job manager in 512 MiB", _JOB, (*_C0, "resources"), {"requests": {"cpu": "1", "memory": "512Mi"}, "limits": {"memory": "512Mi"}}),
    mistake("a job server in 128 MiB", _SERVER, (*_C0, "resources"), {"requests": {"cpu": "1", "memory": "128Mi"}, "limits": {"memory": "128Mi"}}),
    mistake("Python workers in 256 MiB", _WORKER, (*_C1, "resources"), {"requests": {"cpu": "1", "memory": "256Mi"}, "limits": {"memory": "256Mi"}}),
    mistake("a training in 512 MiB", _T, (*_TRAINER, "resourcesPerNode", "requests", "memory"), "512Mi", (*_TRAINER, "resourcesPerNode", "limits", "memory"), "512Mi"),
    mistake("a ranker's temporary files in 100 MiB", _R, (*_P, "volumes", 0, "emptyDir", "sizeLimit"), "100Mi"),
    mistake("a worker's temporary files in 200 MiB", _WORKER, (*_POD, "volumes", 1, "emptyDir", "sizeLimit"), "200Mi"),
    mistake("shared memory of 8 MiB", _T, (*_NODE_POD, "volumes", 1, "emptyDir", "sizeLimit"), "8Mi"),
    mistake("a training of 64 TiB a node", _T, (*_TRAINER, "resourcesPerNode", "requests", "memory"), "64Ti", (*_TRAINER, "resourcesPerNode", "limits", "memory"), "64Ti"),
    mistake("a shared disk of 1 GiB", "PersistentVolumeClaim hemix-shared", ("spec", "resources", "requests", "storage"), "1Gi"),
    # numbers of pods and roll-outs
    mistake("an endpoint that sleeps", _SCALED, ("spec", "idleReplicaCount"), 0),
    mistake("a version that is taken away to be replaced", _V, (*_P, "deploymentStrategy"), {"type": "Recreate"}),
    mistake("a ranker that is taken away to be replaced", _R, (*_P, "deploymentStrategy"), {"type": "Recreate"}),
    mistake("workers that are all taken away to be replaced", _WORKER, ("spec", "strategy"), {"type": "Recreate"}),
    mistake("a ranker that shrinks within seconds", _SCALED, ("spec", "cooldownPeriod"), 1),
    mistake("one ranker at most", _SCALED, ("spec", "minReplicaCount"), 1, ("spec", "maxReplicaCount"), 1),
    # trainings
    mistake("a runtime that starts again whatever comes", _RUNTIME, (*_RT_POD, "restartPolicy"), "Always"),
    mistake("a training of Kueue's", _T, ("spec", "managedBy"), "kueue.x-k8s.io/multikueue"),
    mistake("a training of one minute", _T, ("spec", "activeDeadlineSeconds"), 60),
    mistake("nodes that wait one second for each other", _T, (*_TRAINER, "args", 4), "--rdzv-conf=join_timeout=1"),
    mistake("processes that are never started again", _T, (*_TRAINER, "args", 5), "--max-restarts=0"),
    mistake("a lost node that ends the training", _RUNTIME, ("spec", "template", "spec", "failurePolicy", "maxRestarts"), 0),
    mistake("a training that is measured on what it learns from", _T, (*_TRAINER, "args", 8), _work(validation="s3://runs/inputs/train")),
    mistake("checkpoints that end with the pod", _T, (*_TRAINER, "args", 8), _work(checkpoints="/tmp/checkpoints")),
    mistake("rows that lie in no volume", _T, (*_TRAINER, "args", 8), _work(train="/tmp/train")),
    mistake("a training with the deployer's account", _T, (*_NODE_POD, "serviceAccountName"), "hemix-deployer"),
    # claims
    mistake("workers' disk that one pod mounts", "PersistentVolumeClaim hemix-shared", ("spec", "accessModes"), ["ReadWriteOncePod"]),
    mistake("workers' disk that one node mounts", "PersistentVolumeClaim hemix-shared", ("spec", "accessModes"), ["ReadWriteOnce"]),
    mistake("workers' disk that no one writes", "PersistentVolumeClaim hemix-shared", ("spec", "accessModes"), ["ReadOnlyMany"]),
    mistake("a disk that is made by hand", "PersistentVolumeClaim hemix-shared", ("spec", "storageClassName"), ""),
    mistake("redis' disk that is made by hand", _REDIS, ("spec", "volumeClaimTemplates", 0, "spec", "storageClassName"), ""),
    mistake("a local disk of one pod", "PersistentVolumeClaim hemix-data", ("spec", "accessModes"), ["ReadWriteOncePod"], site="local"),
    mistake("exposures that end with the pod", _R, (*_RC, "args", 12), "/tmp/exposures"),
    mistake("exposures beside dead letters that end with the pod", _R, (*_RC, "args", 12), "/var/lib/hemix/exposures"),
    # nodes
    mistake("redis on one node", _REDIS, (*_POD, "nodeSelector"), {"kubernetes.io/hostname": "worker-1"}),
    mistake("a ranker on ARM", _R, (*_P, "nodeSelector"), {"kubernetes.io/arch": "arm64"}),
    mistake("a ranker on Windows", _R, (*_P, "nodeSelector"), {"kubernetes.io/os": "windows"}),
    mistake("a Flink on a node's old label", _JOB, (*_POD, "nodeSelector"), {"beta.kubernetes.io/arch": "amd64"}),
    # scaling
    mistake("a CPU average of seventy cores", _SCALED_V, (*_TRIGGER, "metricType"), "AverageValue"),
    mistake("a CPU of a container that is not there", _SCALED_V, (*_TRIGGER, "metadata", "containerName"), "queue-proxy"),
    mistake("a query of a count that only grows", _SCALED, (*_TRIGGER, "metadata", "query"), 'sum(hemix_requests_total{namespace="hemix"})'),
    mistake("a query of many rows", _SCALED, (*_TRIGGER, "metadata", "query"), 'rate(hemix_requests_total{namespace="hemix"}[1m])'),
    mistake("a query over less than two readings", _SCALED, (*_TRIGGER, "metadata", "query"), 'sum(rate(hemix_requests_total{namespace="hemix"}[10s]))'),
    mistake("a threshold for all pods together", _SCALED, (*_TRIGGER, "metricType"), "Value"),
    mistake("a query of errors", _SCALED, (*_TRIGGER, "metadata", "query"), 'sum(rate(hemix_requests_total{namespace="hemix",status="500"}[1m]))'),
    mistake("an hour of a time zone that is none", _SCALED, ("spec", "triggers", ADD),
            {"type": "cron", "metadata": {"timezone": "Europe/Berlinn", "start": "0 8 * * *", "end": "0 20 * * *", "desiredReplicas": "4"}}),
    mistake("an hour that cron does not know", _SCALED, ("spec", "triggers", ADD),
            {"type": "cron", "metadata": {"timezone": "Europe/Berlin", "start": "0 25 * * *", "end": "0 20 * * *", "desiredReplicas": "4"}}),
    mistake("an hour that ends when it starts", _SCALED, ("spec", "triggers", ADD),
            {"type": "cron", "metadata": {"timezone": "Europe/Berlin", "start": "0 8 * * *", "end": "0 8 * * *", "desiredReplicas": "4"}}),
    # keys and identities
    mistake("a signing key that may be missing", _RUN, (*_RUNC, "env", 3, "valueFrom", "secretKeyRef", "optional"), True),
    mistake("storage keys that may be missing", _R, (*_RC, "env", 3, "valueFrom", "secretKeyRef", "optional"), True),
    mistake("a mistyped role of AWS", "ServiceAccount hemix-serving", ("metadata", "annotations"), {"eks.amazonaws.com/rolearn": "arn:aws:iam::123456789012:role/x"}),
    mistake("a role that is no ARN", "ServiceAccount hemix-serving", ("metadata", "annotations"), {"eks.amazonaws.com/role-arn": "hemix-serving"}),
    mistake("a sidecar of Linkerd's", _REDIS, ("spec", "template", "metadata", "annotations"), {"linkerd.io/inject": "enabled"}),
    mistake("a sidecar of Vault's", _JOB, ("spec", "template", "metadata", "annotations"), {"vault.hashicorp.com/agent-inject": "true"}),
    mistake("a mesh that comes in again", _REDIS, ("spec", "template", "metadata", "labels", "sidecar.istio.io/inject"), "true"),
    # gateways and figures
    mistake("plain HTTP for real users", "Gateway", ("spec", "listeners"),
            [{"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "Same"}, "kinds": [{"kind": "HTTPRoute"}]}}]),
    mistake("dashboards that no Grafana finds", "ConfigMap hemix-dashboards", ("metadata", "labels", "grafana_dashboard"), GONE),
    mistake("dashboards by a label's other value", "ConfigMap hemix-dashboards", ("metadata", "labels", "grafana_dashboard"), "true"),
    mistake("a dashboard that was cut", "ConfigMap hemix-dashboards", ("data", "hemix-serving.json"), '{"panels": [{"title": "Requ'),
    mistake("figures that are worked out every ten minutes", _RECORDS, ("spec", "groups", 0, "interval"), "10m"),
    mistake("alerts that are looked at every hour", _ALERTS, ("spec", "groups", 0, "interval"), "1h"),
    mistake("a figure of another name's window", _RECORDS, ("spec", "groups", 0, "rules", 3, "expr"),
            'sum by (namespace) (rate(hemix_requests_total{role="ranker",status=~"5.."}[5m])) / sum by (namespace) (rate(hemix_requests_total{role="ranker"}[5m]))'),
    mistake("an alert without a runbook", _ALERTS, ("spec", "groups", 0, "rules", 0, "annotations", "runbook"), GONE),
    mistake("an alert with another alert's runbook", _ALERTS, ("spec", "groups", 0, "rules", 0, "annotations", "runbook"), "docs/operator/runbook.md#hemixshedding"),
    mistake("an alert without a severity", _ALERTS, ("spec", "groups", 0, "rules", 0, "labels"), GONE),
    mistake("latency in milliseconds", _ALERTS, ("spec", "groups", 0, "rules", 5, "expr"), 'namespace_stage:hemix_stage_seconds:p99_5m{stage="total"} > 100\n'),
    mistake("an alert of a share in percent", _ALERTS, ("spec", "groups", 1, "rules", 2, "expr"), 'namespace_kind:hemix_unknown:share{kind="user"} > 30\n'),
    mistake("a log that goes nowhere", "ConfigMap hemix-flink", ("data", "log4j-console.properties"),
            "rootLogger.level = INFO\nrootLogger.appenderRef.console.ref = Console\nappender.console.name = Konsole\nappender.console.type = CONSOLE\n"),
    mistake("a log of a level that is none", "ConfigMap hemix-flink", ("data", "log4j-console.properties"),
            "rootLogger.level = LOUD\nrootLogger.appenderRef.console.ref = Console\nappender.console.name = Console\nappender.console.type = CONSOLE\n"),
    mistake("a Flink without its log's settings", "ConfigMap hemix-flink", ("data", "log4j-console.properties"), GONE),
    mistake("a service without a name of its port", "Service hemix-flink", ("spec", "ports", 0, "targetPort"), 6124),
    mistake("a redis that balances", "Service hemix-redis", ("spec", "clusterIP"), GONE),
    mistake("a webhook of a secret that is not there", "Service hemix-redis", ("spec", "selector"), {"app.kubernetes.io/name": "redis"}),
    # what passed of another set of the same kinds
    mistake("a policy that reaches the metadata address", "NetworkPolicy dns", ("spec", "egress", 1, "to", 0, "ipBlock", "cidr"), "169.254.0.0/16"),
    mistake("redis of long ago", _REDIS, (*_C0, "image"), "docker.io/library/redis:5.0.14"),
    mistake("redis that is killed after a second", _REDIS, (*_POD, "terminationGracePeriodSeconds"), 1),
    mistake("redis that saves at half a rule", "ConfigMap hemix-redis", _CONF, _REDIS_CONF.replace('save ""', 'save "" 900')),
    mistake("a ranker in the other role", _R, (*_RC, "args", 2), "predictor"),
    mistake("a roll-out of both pods at once", _V, (*_P, "deploymentStrategy", "rollingUpdate"), {"maxSurge": 0, "maxUnavailable": 2}),
    mistake("users of no version", "ConfigMap ranker-predictors", _PREDICTORS, _predictors(_FIRST, _SECOND).replace("0.9", "0.5")),
    mistake("a pod for each half request", _SCALED, (*_TRIGGER, "metadata", "threshold"), "0.5"),
    mistake("a pod at five per cent", _SCALED_V, (*_TRIGGER, "metadata", "value"), "5"),
    mistake("a quota of load balancers", _QUOTA, (*_HARD, "services.loadbalancers"), "5"),
    mistake("a launcher told of keys in two ways", "ConfigMap kfp-launcher", ("data", "providers"),
            "s3: {default: {endpoint: s3.example.com, region: x, forcePathStyle: true, credentials: {fromEnv: true,"
            " secretRef: {secretName: hemix-storage, accessKeyKey: AWS_ACCESS_KEY_ID, secretKeyKey: AWS_SECRET_ACCESS_KEY}}}}"),
    mistake("a launcher's root on a disk", "ConfigMap kfp-launcher", ("data", "defaultPipelineRoot"), "/tmp/runs"),
    mistake("a Pod Security of long ago", "Namespace", ("metadata", "labels", "pod-security.kubernetes.io/enforce-version"), "v1.19"),
    mistake("no thread at all", _R, (*_RC, "env", ADD), {"name": "OMP_NUM_THREADS", "value": "0"}),
    mistake("a time zone that is none", _R, (*_RC, "env", ADD), {"name": "TZ", "value": "Berlin"}),
    mistake("features of another root", _R, (*_RC, "args", 10), "s3://other/feature_store"),
    mistake("exposures of another root", _R, (*_RC, "args", 12), "s3://other/exposures"),
    mistake("events over http", _R, (*_RC, "args", 14), "http://hemix-redis:6379/1"),
    mistake("a disk limit below its folder's", _JOB, (*_C0, "resources", "limits", "ephemeral-storage"), "1Gi"),
    mistake("huge pages", _JOB, (*_C0, "resources"), {"requests": {"cpu": "1", "memory": "2Gi", "hugepages-2Mi": "1Gi"}, "limits": {"memory": "2Gi", "hugepages-2Mi": "1Gi"}}),
    mistake("a store on every node, broken ones too", _REDIS, (*_POD, "tolerations"), [{"operator": "Exists"}]),
    mistake("a store that is ready after an hour", _REDIS, ("spec", "minReadySeconds"), 3600),
    mistake("a job manager that has a second to come", _JOB, ("spec", "progressDeadlineSeconds"), 1),
    mistake("a job manager with no way back", _JOB, ("spec", "revisionHistoryLimit"), 0),
    mistake("a namespace with a mesh", "Namespace", ("metadata", "labels", "istio-injection"), "enabled"),
    mistake("a least disk above redis'", _LIMITS, ("spec", "limits", 1, "min"), {"storage": "200Gi"}),
    mistake("a largest pod below a training's", _LIMITS, ("spec", "limits", ADD), {"type": "Pod", "max": {"memory": "8Gi"}}),
    mistake("users who reach redis", "HTTPRoute ranker", ("spec", "rules", 0, "backendRefs", ADD),
            {"group": "", "kind": "Service", "name": "hemix-redis", "port": 6379, "weight": 1}),
    mistake("a dashboard by another name's ending", "ConfigMap hemix-dashboards", ("data", "serving"), "{}"),
    mistake("a dashboard with another's identity", "ConfigMap hemix-dashboards", ("data", "own.json"),
            '{"uid": "hemix-serving", "panels": [{"title": "up", "targets": [{"expr": "sum(up)"}]}]}'),
    mistake("a dashboard of a variable that is not there", "ConfigMap hemix-dashboards", ("data", "own.json"),
            '{"uid": "own", "panels": [{"title": "up", "targets": [{"expr": "sum(up{namespace=\\"$ns\\"})"}]}]}'),
    mistake("a dashboard of half a query", "ConfigMap hemix-dashboards", ("data", "own.json"),
            '{"uid": "own", "panels": [{"title": "up", "targets": [{"expr": "sum((up)"}]}]}'),
    mistake("a launcher that speaks TLS to port 80", "ConfigMap kfp-launcher", ("data", "providers"),
            "s3: {default: {endpoint: 's3.example.com:80', region: x, forcePathStyle: true, credentials: {fromEnv: true}}}"),
    mistake("a launcher of another region", "ConfigMap kfp-launcher", ("data", "providers"),
            "s3: {default: {endpoint: s3.us-east-1.amazonaws.com, region: eu-west-1, forcePathStyle: true, credentials: {fromEnv: true}}}"),
    mistake("a launcher's key in the singular", "ConfigMap kfp-launcher", ("data", "provider"), "x"),
    mistake("an initializer of long ago", _STORAGE, ("spec", "container", "image"), "docker.io/kserve/storage-initializer:v0.11.0"),
    mistake("an image on trial that no one reaches", _V, ("spec", "canary", 0, "trafficPercent"), 0, site="trial"),
    mistake("an image on trial that everyone reaches", _V, ("spec", "canary", 0, "trafficPercent"), 100, site="trial"),
    mistake("a route to an image on trial without weight", "HTTPRoute ranker-20220507", ("spec", "rules", 0, "backendRefs", 0, "weight"), 0, site="trial"),
)  # fmt: skip
