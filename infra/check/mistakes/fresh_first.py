"""A set that was written before any of it was tried, on rules that were written without it."""

from __future__ import annotations

from hemix.infra.check.mistakes.mistake import ADD, GONE, Mistake, mistake

_JOB, _SERVER, _WORKER = (f"Deployment hemix-flink-{p}" for p in ("jobmanager", "jobserver", "taskmanager"))  # fmt: skip
_REDIS = "StatefulSet hemix-redis"
_POD = ("spec", "template", "spec")
_C0, _C1 = (*_POD, "containers", 0), (*_POD, "containers", 1)
_V, _R = "InferenceService ranker-20220430", "InferenceService ranker"
_P = ("spec", "predictor")
_M, _RC = (*_P, "model"), (*_P, "containers", 0)
_RUN = "ServingRuntime"
_RUNC = ("spec", "containers", 0)
_T, _TRAINER = "TrainJob", ("spec", "trainer")
_NODE_POD = (
    *("spec", "runtimePatches", 0, "trainingRuntimeSpec", "template", "spec", "replicatedJobs", 0),
    *("template", "spec", "template", "spec"),
)
_RT = ("spec", "template", "spec", "replicatedJobs", 0, "template")
_RULES = "PrometheusRule hemix-alerts"

FRESH_FIRST: tuple[Mistake, ...] = (
    # workloads
    mistake("a job manager scaled to three", _JOB, ("spec", "replicas"), 3),
    mistake("a rolling job manager", _JOB, ("spec", "strategy"), {"type": "RollingUpdate"}),
    mistake("a task manager that keeps no revision and is paused", _WORKER, ("spec", "paused"), True),
    mistake("a pod's host name that is none", _JOB, (*_POD, "hostname"), "Job_Manager"),
    mistake("a pod that shares processes", _WORKER, (*_POD, "shareProcessNamespace"), True),
    mistake("a host alias without an address", _JOB, (*_POD, "hostAliases"), [{"ip": "redis", "hostnames": ["a"]}]),
    mistake("a scheduler that is not there", _WORKER, (*_POD, "schedulerName"), "volcano"),
    mistake("a node selector that no node has", _REDIS, (*_POD, "nodeSelector"), {"disktype": "ssd"}),
    mistake("an affinity with a broken operator", _REDIS, (*_POD, "affinity"), {"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [
            {"key": "zone", "operator": "Equals", "values": ["a"]}]}]}}}),
    mistake("an anti-affinity that keeps redis' own pods nowhere", _WORKER, (*_POD, "affinity"), {"podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": {"matchLabels": {"app.kubernetes.io/name": "hemix-flink"}}}]}}),
    mistake("an init container without limits of security", _REDIS, (*_POD, "initContainers"),
            [{"name": "wait", "image": "docker.io/library/redis:7.4.2", "command": ["sh", "-c", "sleep 5"]}]),
    mistake("a sidecar of another image", _REDIS, (*_POD, "containers", ADD),
            {"name": "exporter", "image": "docker.io/oliver006/redis_exporter:v1.62.0"}),
    mistake("redis' password read from a ConfigMap", _REDIS, (*_C0, "env", 1, "valueFrom"),
            {"configMapKeyRef": {"name": "hemix-redis", "key": "password"}}),
    mistake("redis' password in the clear", _REDIS, (*_C0, "env", 1), {"name": "REDISCLI_AUTH", "value": "hunter2"}),
    mistake("redis without a password", _REDIS, (*_C0, "args"), [
        "exec redis-server - <<END\n$(cat /etc/redis/redis.conf)\nmaxmemory $MAXMEMORY\nEND\n"]),
    mistake("a liveness probe that asks another port", _REDIS, (*_C0, "livenessProbe"),
            {"tcpSocket": {"port": 6380}, "periodSeconds": 20, "failureThreshold": 6}),
    mistake("redis killed after five seconds of silence", _REDIS, (*_C0, "livenessProbe", "failureThreshold"), 1,
            (*_C0, "livenessProbe", "periodSeconds"), 5),
    mistake("redis with a claim of ReadOnlyMany", _REDIS, ("spec", "volumeClaimTemplates", 0, "spec", "accessModes"), ["ReadOnlyMany"]),
    mistake("redis' disk of the size of its memory", _REDIS,
            ("spec", "volumeClaimTemplates", 0, "spec", "resources", "requests", "storage"), "24Gi"),
    mistake("redis with more memory than its limit leaves", _REDIS, (*_C0, "env", 0, "value"), "32gb"),
    mistake("redis whose claim is deleted when it is scaled down to none", _REDIS, ("spec", "persistentVolumeClaimRetentionPolicy"),
            {"whenDeleted": "Delete", "whenScaled": "Delete"}),
    mistake("a worker pool that listens elsewhere", _WORKER, (*_C1, "args", 0), "--service_port=50001"),
    mistake("a worker of the training's image", _WORKER, (*_C1, "image"), "localhost/hemix/train:0.1.0"),
    mistake("a worker without scratch", _WORKER, (*_C1, "volumeMounts", 0), GONE),
    mistake("a module that Beam lacks", _WORKER, (*_C1, "command", 2), "apache_beam.runners.worker.sdk_worker_pool"),
    mistake("a job server of an older Beam", _SERVER, (*_C0, "image"), "docker.io/apache/beam_flink1.20_job_server:2.60.0"),
    mistake("a job server for another Flink", _SERVER, (*_C0, "image"), "docker.io/apache/beam_flink1.18_job_server:2.77.0"),
    mistake("a job server at another port of jobs", _SERVER, (*_C0, "args", 2), "--job-port=8089"),
    mistake("artifacts where nothing can be written", _SERVER, (*_C0, "args", 5), "--artifacts-dir=/var/artifacts"),
    mistake("a task manager by its host name", _WORKER, (*_C0, "args"), []),
    mistake("Flink that reads its configuration elsewhere", _JOB, (*_C0, "env", 0, "value"), "/opt/flink/conf"),
    mistake("requests in bytes", _JOB, (*_C0, "resources", "requests", "memory"), "1600"),
    mistake("CPUs in place of milli", _SERVER, (*_C0, "resources", "requests", "cpu"), "250"),
    mistake("a scratch folder of 5 MB", _JOB, (*_POD, "volumes", 0, "emptyDir", "sizeLimit"), "5M"),
    mistake("a user of the image's own", _REDIS, (*_POD, "securityContext", "runAsUser"), GONE),
    mistake("files that belong to root's group", _JOB, (*_POD, "securityContext", "runAsGroup"), 0),
    # services, policies
    mistake("a Service of every part of Flink", "Service hemix-flink", ("spec", "selector"), {"app.kubernetes.io/name": "hemix-flink"}),
    mistake("a Service that publishes pods before they are ready", "Service hemix-flink", ("spec", "publishNotReadyAddresses"), True),
    mistake("a Service to an external host", "Service hemix-redis", ("spec",),
            {"type": "ExternalName", "externalName": "redis.example.com"}),
    mistake("a Service's IPs of a family that the cluster lacks", "Service hemix-flink", ("spec", "ipFamilies"), ["IPv6", "IPv4"]),
    mistake("sticky sessions longer than a day", "Service hemix-flink", ("spec", "sessionAffinityConfig"),
            {"clientIP": {"timeoutSeconds": 172800}}),
    mistake("a policy that opens redis to a whole network", "NetworkPolicy redis", ("spec", "ingress", 0, "from", ADD),
            {"ipBlock": {"cidr": "10.0.0.0/8"}}),
    mistake("a policy that lets steps go anywhere", "NetworkPolicy pipeline", ("spec", "egress", ADD),
            {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}]}),
    mistake("a policy of ports up to the last", "NetworkPolicy ranker", ("spec", "ingress", 0, "ports", 0, "endPort"), 65535),
    mistake("a policy for the metadata of the cloud", "NetworkPolicy serving-storage", ("spec", "egress", 0, "to", 0, "ipBlock", "except"), []),
    mistake("Prometheus let in at the wrong port", "NetworkPolicy ranker", ("spec", "ingress", 1, "ports", 0, "port"), 9090),
    mistake("a gateway's namespace by its name", "NetworkPolicy ranker", ("spec", "ingress", 0, "from", 0, "namespaceSelector", "matchLabels"),
            {"kubernetes.io/metadata.name": "ingress-nginx"}),
    mistake("DNS over TLS only", "NetworkPolicy dns", ("spec", "egress", 0, "ports"), [{"port": 853, "protocol": "TCP"}]),
    # accounts and rights
    mistake("an account that pulls without a secret", "ServiceAccount hemix-serving", ("imagePullSecrets",), GONE),
    mistake("rights on every namespace's pods", "Role hemix-deployer", ("rules", 7, "verbs"), ["get", "list", "delete"]),
    mistake("a deployer that may change quotas", "Role hemix-deployer", ("rules", ADD),
            {"apiGroups": [""], "resources": ["resourcequotas"], "verbs": ["patch"]}),
    mistake("runs that may read ConfigMaps of all names", "Role hemix-pipeline", ("rules", 1, "resourceNames"), GONE),
    mistake("a deployer that may change deployments by hand", "Role hemix-deployer", ("rules", 6, "verbs"), ["get", "list", "patch"]),
    mistake("a role without its pipelines' versions", "Role hemix-pipeline", ("rules", 7, "resources"), ["experiments", "pipelines"]),
    mistake("a binding without its API group", "RoleBinding hemix-deployer", ("roleRef", "apiGroup"), ""),
    mistake("a default account that deploys", "RoleBinding hemix-deployer", ("subjects", 0, "name"), "default"),
    # room
    mistake("GPUs without a bound", "ResourceQuota", ("spec", "hard", "requests.nvidia.com/gpu"), GONE),
    mistake("disk for two pods", "ResourceQuota", ("spec", "hard", "requests.ephemeral-storage"), "4Gi"),
    mistake("default CPUs in place of milli", "LimitRange", ("spec", "limits", 0, "defaultRequest", "cpu"), "100"),
    mistake("default memory without a unit", "LimitRange", ("spec", "limits", 0, "defaultRequest", "memory"), "256"),
    mistake("a default disk that no download fits", "LimitRange", ("spec", "limits", 0, "default", "ephemeral-storage"), "1Gi"),
    mistake("a ratio that no container keeps", "LimitRange", ("spec", "limits", 0, "maxLimitRequestRatio"), {"memory": "1"}),
    mistake("a shared claim of a few bytes", "PersistentVolumeClaim hemix-shared", ("spec", "resources", "requests", "storage"), "50"),
    # the endpoint
    mistake("a version without its protocol", _V, (*_M, "protocolVersion"), GONE),
    mistake("a version from a registry of a typo", _V, (*_M, "storageUri"), "s3://models/registy/versions/20220430-1a2b3c4d"),
    mistake("a version that is never asked whether it lives", _V, (*_M, "livenessProbe"), GONE),
    mistake("a version that starts in ten seconds or never", _V, (*_M, "startupProbe", "failureThreshold"), 2),
    mistake("versions that stand on one node", _V, (*_P, "topologySpreadConstraints"), []),
    mistake("a version that stops while it is asked", _RUN, (*_RUNC, "lifecycle"), GONE),
    mistake("a runtime that listens at the figures' port", _RUN, (*_RUNC, "args", 8), "9090"),
    mistake("a runtime of the training's image", _RUN, (*_RUNC, "image"), "localhost/hemix/train:0.1.0"),
    mistake("a runtime with the private key", _RUN, (*_RUNC, "env", 3, "valueFrom", "secretKeyRef", "key"), "private.pem"),
    mistake("a runtime's model elsewhere", _RUN, (*_RUNC, "args", 4), "/mnt/model"),
    mistake("a ranker without redis' password", _R, (*_RC, "env", 6), GONE),
    mistake("a ranker whose keys are swapped", _R, (*_RC, "env", 3, "valueFrom", "secretKeyRef", "key"), "AWS_SECRET_ACCESS_KEY"),
    mistake("a ranker that reads features of a typo", _R, (*_RC, "args", 10), "s3://models/features_store"),
    mistake("a ranker whose dead letters cannot be written", _R, (*_RC, "args", 16), "/var/lib/hemixx/dead_letters"),
    mistake("a ranker that reads events of another redis", _R, (*_RC, "args", 14), "redis://redis:6379/1"),
    mistake("a ranker's deadline above its timeout", _R, (*_RC, "args", 8), "8"),
    mistake("a ranker's memory asked below its limit", _R, (*_RC, "resources", "requests", "memory"), "300Mi"),
    mistake("a ranker's caches where nothing can be written", _R, (*_RC, "env", 2, "value"), "/cache/hemix"),
    mistake("a budget of more pods than there are", "PodDisruptionBudget ranker", ("spec", "maxUnavailable"), 2),
    mistake("a budget of every pod", "PodDisruptionBudget ranker", ("spec", "selector", "matchLabels"), {}),
    mistake("a scaler without a label of its deployment", "ScaledObject ranker", ("metadata", "labels", "hemix/deployment"), GONE),
    mistake("a scaler that goes above its predictor", "ScaledObject ranker", ("spec", "maxReplicaCount"), 200),
    mistake("a scaler by a minute's average of errors", "ScaledObject ranker", ("spec", "triggers", 0, "metadata", "query"),
            'sum(rate(hemix_errors_total{namespace="hemix"}[1m]))'),
    mistake("a route without a time", "HTTPRoute ranker", ("spec", "rules", 0, "timeouts"), GONE),
    mistake("a route to the model of another name", "HTTPRoute ranker", ("spec", "rules", 0, "matches", 0, "path", "value"), "/v1/models/rankers:predict"),
    mistake("a route without the path of predictions", "HTTPRoute ranker", ("spec", "rules", 0, "matches"), [{"path": {"type": "Exact", "value": "/v1/events"}}]),
    mistake("a Gateway at an odd port", "Gateway", ("spec", "listeners", 0, "port"), 4443),
    # trainings
    mistake("a training by another program", _T, (*_TRAINER, "command"), ["torchrun"]),
    mistake("a training that meets at another backend", _T, (*_TRAINER, "args", 0), "--rdzv-backend=static"),
    mistake("a training's module of a typo", _T, (*_TRAINER, "args", 7), "hemix.components.training.worker"),
    mistake("a training of two processes a GPU", _T, (*_TRAINER, "numProcPerNode"), 2),
    mistake("a training without keys", _T, (*_TRAINER, "env", 4), GONE),
    mistake("a training without an end", _T, ("spec", "activeDeadlineSeconds"), GONE),
    mistake("a training whose shared memory is all its memory", _T, (*_NODE_POD, "volumes", 1, "emptyDir", "sizeLimit"), "64Gi"),
    mistake("a runtime whose nodes get a token", "TrainingRuntime", (*_RT, "spec", "template", "spec", "automountServiceAccountToken"), True),
    # configuration and watching
    mistake("redis that writes when it likes", "ConfigMap hemix-redis", ("data", "redis.conf"),
            "port 6379\nprotected-mode yes\ndir /data\nappendonly yes\nappendfsync no\nmaxmemory-policy noeviction\n"),
    mistake("a launcher that reads gs", "ConfigMap kfp-launcher", ("data", "providers"), "gs: {default: {credentials: {fromEnv: true}}}"),
    mistake("two releases", "ServiceMonitor hemix-ranker", ("metadata", "labels", "release"), "prometheus"),
    mistake("a monitor of gRPC", "ServiceMonitor hemix-ranker", ("spec", "endpoints", 0, "targetPort"), 8081),
    mistake("an alert that never fires", _RULES, ("spec", "groups", 0, "rules", 1, "expr"), "vector(0) > 1"),
    mistake("an initializer of another release", "ClusterStorageContainer", ("spec", "container", "image"), "docker.io/kserve/storage-initializer:latest"),
)  # fmt: skip
