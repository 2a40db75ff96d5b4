"""What an operator rightly changes, one object each: none of it may be refused."""

from __future__ import annotations

from hemix.infra.check.mistakes.mistake import ADD, GONE, Mistake, mistake

_JOB, _SERVER, _WORKER = (f"Deployment hemix-flink-{p}" for p in ("jobmanager", "jobserver", "taskmanager"))  # fmt: skip
_REDIS, _QUOTA, _LIMITS = "StatefulSet hemix-redis", "ResourceQuota", "LimitRange"
_POD = ("spec", "template", "spec")
_C0, _C1 = (*_POD, "containers", 0), (*_POD, "containers", 1)
_V, _R = "InferenceService ranker-20220507", "InferenceService ranker"
_P = ("spec", "predictor")
_M, _RC = (*_P, "model"), (*_P, "containers", 0)
_T, _TRAINER = "TrainJob", ("spec", "trainer")
_ALERTS, _HARD = "PrometheusRule hemix-alerts", ("spec", "hard")
_SCALED = "ScaledObject ranker"
_TRIGGER = ("spec", "triggers", 0)
_CONF = ("data", "redis.conf")
_REDIS_CONF = "port 6379\nprotected-mode yes\ndir /data\nappendonly yes\nappendfsync everysec\nsave \"\"\nmaxmemory-policy noeviction\n"  # fmt: skip

RIGHT: tuple[Mistake, ...] = (
    mistake("four workers of Flink", _WORKER, ("spec", "replicas"), 4),
    mistake("a larger job manager", _JOB, (*_C0, "resources"), {"requests": {"cpu": "1", "memory": "4Gi"}, "limits": {"memory": "4Gi"}}),
    mistake("larger Python workers", _WORKER, (*_C1, "resources"), {"requests": {"cpu": "4", "memory": "16Gi"}, "limits": {"memory": "16Gi"}}),
    mistake("a CPU limit", _WORKER, (*_C1, "resources", "limits", "cpu"), "8"),
    mistake("a strategy that is the usual one", _WORKER, ("spec", "strategy"), {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}),
    mistake("fewer old ReplicaSets", _SERVER, ("spec", "revisionHistoryLimit"), 3),
    mistake("time for an image of gigabytes", _WORKER, ("spec", "progressDeadlineSeconds"), 1200),
    mistake("a store's usual strategy", _REDIS, ("spec", "updateStrategy"), {"type": "RollingUpdate"}),
    mistake("a node pool of GKE", _REDIS, (*_POD, "nodeSelector"), {"cloud.google.com/gke-nodepool": "memory"}),
    mistake("nodes of AMD64", _JOB, (*_POD, "nodeSelector"), {"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux"}),
    mistake("a taint that is tolerated", _REDIS, (*_POD, "tolerations"), [{"key": "dedicated", "operator": "Equal", "value": "hemix", "effect": "NoSchedule"}]),
    mistake("zones that are preferred", _REDIS, (*_POD, "affinity"), {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 50, "preference": {"matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a"]}]}}]}}),
    mistake("more time to stop", _REDIS, (*_POD, "terminationGracePeriodSeconds"), 120),
    mistake("a mirror of Docker's hub", _REDIS, (*_C0, "image"), "mirror.example.com/library/redis:7.4.2"),
    mistake("a mirror by a digest", _REDIS, (*_C0, "image"), "mirror.example.com:5000/hub/redis:7.4.2@sha256:" + "0" * 64),
    mistake("a mirror of Beam's job server", _SERVER, (*_C0, "image"), "mirror.example.com/apache/beam_flink1.20_job_server:2.77.0"),
    mistake("a mirror of KServe's initializer", "ClusterStorageContainer", ("spec", "container", "image"), "mirror.example.com/kserve/storage-initializer:v0.20.0"),
    mistake("a newer initializer", "ClusterStorageContainer", ("spec", "container", "image"), "docker.io/kserve/storage-initializer:v0.20.1"),
    mistake("an initializer of more memory", "ClusterStorageContainer", ("spec", "container", "resources"),
            {"requests": {"cpu": "1", "memory": "2Gi", "ephemeral-storage": "4Gi"}, "limits": {"memory": "4Gi", "cpu": "2"}}),
    mistake("a policy of pulling", _REDIS, (*_C0, "imagePullPolicy"), "IfNotPresent"),
    mistake("a store of 8 GB", _REDIS, (*_C0, "env", 0, "value"), "8gb", (*_C0, "resources"), {"requests": {"cpu": "2", "memory": "12Gi"}, "limits": {"memory": "12Gi"}}),
    mistake("a store's larger disk", _REDIS, ("spec", "volumeClaimTemplates", 0, "spec", "resources", "requests", "storage"), "200Gi"),
    mistake("a store's class of disk", _REDIS, ("spec", "volumeClaimTemplates", 0, "spec", "storageClassName"), "gp3"),
    mistake("a store's slower liveness", _REDIS, (*_C0, "livenessProbe", "failureThreshold"), 10),
    mistake("a store that starts for longer", _REDIS, (*_C0, "startupProbe", "failureThreshold"), 240),
    mistake("a store of more clients", "ConfigMap hemix-redis", _CONF, _REDIS_CONF + "maxclients 20000\nio-threads 4\n"),
    mistake("a store that writes each change", "ConfigMap hemix-redis", _CONF, _REDIS_CONF.replace("everysec", "always")),
    mistake("a store with 16 databases", "ConfigMap hemix-redis", _CONF, _REDIS_CONF + "databases 16\nloglevel notice\n"),
    mistake("a shared disk's class", "PersistentVolumeClaim hemix-shared", ("spec", "storageClassName"), "efs-sc"),
    mistake("a larger shared disk", "PersistentVolumeClaim hemix-shared", ("spec", "resources", "requests", "storage"), "400Gi"),
    mistake("a job manager's larger folder", _JOB, (*_POD, "volumes", 0, "emptyDir", "sizeLimit"), "50Gi"),
    mistake("users of a platform's range", _JOB, (*_POD, "securityContext"), {"runAsNonRoot": True, "runAsUser": 1000650000,
            "runAsGroup": 1000650000, "fsGroup": 1000650000, "seccompProfile": {"type": "RuntimeDefault"}}),
    mistake("a description", _REDIS, ("metadata", "annotations"), {"kubernetes.io/description": "features"}),
    mistake("a team's label", _REDIS, ("metadata", "labels", "team"), "ranking"),
    mistake("a wave of Argo CD's", "Gateway", ("metadata", "annotations"), {"argocd.argoproj.io/sync-wave": "2"}),
    mistake("a larger quota", _QUOTA, (*_HARD, "requests.cpu"), "400"),
    mistake("a quota on objects", _QUOTA, (*_HARD, "count/configmaps"), "200"),
    mistake("a quota on jobs", _QUOTA, (*_HARD, "count/jobs.batch"), "100"),
    mistake("a quota on secrets", _QUOTA, (*_HARD, "secrets"), "100"),
    mistake("larger defaults", _LIMITS, ("spec", "limits", 0, "default"), {"memory": "2Gi", "ephemeral-storage": "100Gi"}),
    mistake("a largest container", _LIMITS, ("spec", "limits", 0, "max"), {"memory": "512Gi", "ephemeral-storage": "1Ti"}),
    mistake("another known class of gateways", "Gateway", ("spec", "gatewayClassName"), "istio"),
    mistake("a gateway's host", "Gateway", ("spec", "listeners", 0, "hostname"), "rank.example.com"),
    mistake("a route's host", "HTTPRoute ranker", ("spec", "hostnames"), ["rank.example.com"]),
    mistake("a route's longer time", "HTTPRoute ranker", ("spec", "rules", 0, "timeouts", "request"), "8s"),
    mistake("more rankers", _R, (*_P, "minReplicas"), 2, (*_P, "maxReplicas"), 10, (*_RC, "resources", "requests", "cpu"), "4"),
    mistake("a ranker of more memory", _R, (*_RC, "resources"), {"requests": {"cpu": "2", "memory": "8Gi"}, "limits": {"memory": "8Gi"}}),
    mistake("a ranker of a shorter deadline", _R, (*_RC, "args", 8), "0.5"),
    mistake("more processes of a ranker", _R, (*_RC, "args", 24), "4"),
    mistake("a predictor of more memory", _V, (*_M, "resources"), {"requests": {"cpu": "4", "memory": "12Gi"}, "limits": {"memory": "12Gi"}}),
    mistake("a predictor that loads for long", _V, (*_M, "startupProbe", "failureThreshold"), 240),
    mistake("a predictor's node pool", _V, (*_P, "nodeSelector"), {"eks.amazonaws.com/nodegroup": "serving"}),
    mistake("a ranker spread over zones too", _R, (*_P, "topologySpreadConstraints", ADD),
            {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway",
             "labelSelector": {"matchLabels": {"serving.kserve.io/inferenceservice": "ranker"}}}),
    mistake("a ranker behind a proxy", _R, (*_RC, "env", ADD), {"name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128"}),
    mistake("another threshold of requests", _SCALED, (*_TRIGGER, "metadata", "threshold"), "120"),
    mistake("a longer window", _SCALED, (*_TRIGGER, "metadata", "query"), 'sum(rate(hemix_requests_total{namespace="hemix"}[2m]))'),
    mistake("another Prometheus", _SCALED, (*_TRIGGER, "metadata", "serverAddress"), "http://kps-prometheus.observability.svc:9090"),
    mistake("more rankers by day", _SCALED, ("spec", "triggers", ADD),
            {"type": "cron", "metadata": {"timezone": "Europe/Berlin", "start": "0 7 * * *", "end": "0 22 * * 1-5", "desiredReplicas": "6"}}),
    mistake("a slower shrinking", _SCALED, ("spec", "cooldownPeriod"), 600),
    mistake("a longer training", _T, ("spec", "activeDeadlineSeconds"), 172800),
    mistake("a larger training", _T, (*_TRAINER, "resourcesPerNode", "requests", "memory"), "128Gi", (*_TRAINER, "resourcesPerNode", "limits", "memory"), "128Gi"),
    mistake("a training of two nodes", _T, (*_TRAINER, "numNodes"), 2),
    mistake("nodes that wait an hour", _T, (*_TRAINER, "args", 4), "--rdzv-conf=join_timeout=3600"),
    mistake("more restarts of nodes", "TrainingRuntime", ("spec", "template", "spec", "failurePolicy", "maxRestarts"), 5),
    mistake("another release of Prometheus, everywhere but here", "ServiceMonitor hemix-ranker", ("metadata", "labels", "team"), "ranking"),
    mistake("a quicker reading", "ServiceMonitor hemix-ranker", ("spec", "endpoints", 0, "interval"), "10s"),
    mistake("a milder latency", _ALERTS, ("spec", "groups", 0, "rules", 5, "for"), "15m"),
    mistake("an alert more", _ALERTS, ("spec", "groups", 0, "rules", ADD),
            {"alert": "HemixTooFewRankers", "expr": 'sum by (namespace) (up{role="ranker"}) < 2', "for": "10m", "labels": {"severity": "warning", "team": "ranking"},
             "annotations": {"summary": "Few rankers in {{ $labels.namespace }}.", "description": "Fewer than two.", "runbook": "https://wiki.example.com/rankers"}}),
    mistake("a role of AWS", "ServiceAccount hemix-serving", ("metadata", "annotations"), {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/hemix-serving"}),
    mistake("an account of Google's", "ServiceAccount hemix-pipeline", ("metadata", "annotations"), {"iam.gke.io/gcp-service-account": "hemix@project-1.iam.gserviceaccount.com"}),
    mistake("a budget that is written otherwise", "PodDisruptionBudget ranker", ("spec", "maxUnavailable"), GONE, ("spec", "minAvailable"), 1),
    mistake("another region of storage", "ConfigMap kfp-launcher", ("data", "providers"),
            "s3: {default: {endpoint: minio.storage.example.com, region: eu-central-1, forcePathStyle: true, credentials: {fromEnv: false,"
            " secretRef: {secretName: hemix-storage, accessKeyKey: AWS_ACCESS_KEY_ID, secretKeyKey: AWS_SECRET_ACCESS_KEY}}}}"),
    mistake("a newer version of Pod Security", "Namespace", ("metadata", "labels", "pod-security.kubernetes.io/enforce-version"), "v1.32"),
    mistake("a port's usual protocol", "Service hemix-redis", ("spec", "ports", 0, "protocol"), GONE),
    mistake("a Service's usual type", "Service hemix-flink", ("spec", "type"), "ClusterIP"),
    mistake("a local disk of many pods", "PersistentVolumeClaim hemix-data", ("spec", "accessModes"), ["ReadWriteMany"], site="local"),
    mistake("a log of warnings", "ConfigMap hemix-flink", ("data", "log4j-console.properties"),
            "rootLogger.level = WARN\nrootLogger.appenderRef.console.ref = Console\nappender.console.name = Console\nappender.console.type = CONSOLE\n"
            "appender.console.layout.type = PatternLayout\nappender.console.layout.pattern = %m%n\n"),
    mistake("a registry of one's own", _JOB, (*_POD, "imagePullSecrets"), [{"name": "hemix-registry"}]),
)  # fmt: skip
