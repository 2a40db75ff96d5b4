"""The second set that was written before any of it was tried."""

from __future__ import annotations

from hemix.infra.check.mistakes.mistake import ADD, GONE, Mistake, mistake

_JOB, _SERVER, _WORKER = (f"Deployment hemix-flink-{p}" for p in ("jobmanager", "jobserver", "taskmanager"))  # fmt: skip
_REDIS = "StatefulSet hemix-redis"
_POD = ("spec", "template", "spec")
_C0, _C1 = (*_POD, "containers", 0), (*_POD, "containers", 1)
_V, _R = "InferenceService ranker-20220507", "InferenceService ranker"
_P = ("spec", "predictor")
_M, _RC = (*_P, "model"), (*_P, "containers", 0)
_RUN, _RUNC = "ServingRuntime", ("spec", "containers", 0)
_T, _TRAINER = "TrainJob", ("spec", "trainer")
_NODE = (
    "spec",
    "runtimePatches",
    0,
    "trainingRuntimeSpec",
    "template",
    "spec",
    "replicatedJobs",
    0,
)
_NODE_POD = (*_NODE, "template", "spec", "template", "spec")
_RT = ("spec", "template", "spec", "replicatedJobs", 0, "template")
_RT_POD = (*_RT, "spec", "template", "spec")
_RULES, _RECORDS = "PrometheusRule hemix-alerts", "PrometheusRule hemix-recording"
_STORAGE = "ClusterStorageContainer"

FRESH_SECOND: tuple[Mistake, ...] = (
    # names and places
    mistake("a job manager of another namespace", _JOB, ("metadata", "namespace"), "flink"),
    mistake("a quota in another namespace", "ResourceQuota", ("metadata", "namespace"), "kubeflow"),
    mistake("a monitor in Prometheus' namespace", "ServiceMonitor hemix-predictor", ("metadata", "namespace"), "monitoring"),
    mistake("a budget without a namespace", "PodDisruptionBudget hemix-redis", ("metadata", "namespace"), GONE),
    mistake("a version whose name is its version alone", _V, ("metadata", "name"), "20220507-5e6f7a8b"),
    mistake("a version that says it is another", _V, ("metadata", "annotations", "hemix/model-version"), "20220430-1a2b3c4d"),
    mistake("a version labelled a ranker", _V, ("metadata", "labels", "app.kubernetes.io/component"), "ranker"),
    mistake("a runtime that hemix does not manage", _RUN, ("metadata", "labels", "app.kubernetes.io/managed-by"), "helm"),
    mistake("a label with a blank before it", _REDIS, ("spec", "template", "metadata", "labels", " app"), "redis"),
    # workloads of ours
    mistake("redis of another major release's tag", _REDIS, (*_C0, "image"), "docker.io/library/redis:alpine"),
    mistake("redis from another publisher", _REDIS, (*_C0, "image"), "docker.io/bitnami/redis:7.4.2"),
    mistake("redis' shell without a command", _REDIS, (*_C0, "command"), ["sh"]),
    mistake("redis that is asked by the network name of itself", _REDIS, (*_C0, "readinessProbe", "exec", "command"),
            ["redis-cli", "-h", "redis", "ping"]),
    mistake("redis whose readiness asks for nothing", _REDIS, (*_C0, "readinessProbe", "exec", "command", 2), "true"),
    mistake("redis that may have no disk at all", _REDIS, (*_POD, "volumes", ADD), {"name": "data", "emptyDir": {}}),
    mistake("redis mounted over its program", _REDIS, (*_C0, "volumeMounts", 1, "mountPath"), "/usr/local/bin"),
    mistake("redis in a storage class of a typo", _REDIS, ("spec", "volumeClaimTemplates", 0, "spec", "storageClassName"), "Fast_SSD"),
    mistake("redis with a token", _REDIS, (*_POD, "automountServiceAccountToken"), GONE),
    mistake("redis as user 999 of group 65532", _REDIS, (*_POD, "securityContext", "runAsUser"), 999),
    mistake("redis with half its memory asked", _REDIS, (*_C0, "resources", "requests", "memory"), "16Gi"),
    mistake("redis by the account that deploys", _REDIS, (*_POD, "serviceAccountName"), "hemix-deployer2"),
    mistake("a Recreate strategy with a typo in case", _JOB, ("spec", "strategy", "type"), "recreate"),
    mistake("a job server in the task manager's image", _SERVER, (*_C0, "image"), "docker.io/library/flink:1.20.1-scala_2.12-java17"),
    mistake("a job server that takes jobs from itself alone", _SERVER, (*_C0, "args", 1), "--job-host=localhost"),
    mistake("a job server with Flink inside", _SERVER, (*_C0, "args", 0), "--flink-master=[local]"),
    mistake("a job server with an option of Spark", _SERVER, (*_C0, "args", ADD), "--spark-master-url=local"),
    mistake("a task manager that starts a job manager", _WORKER, (*_C0, "command", 0), "/opt/flink/bin/jobmanager.sh"),
    mistake("a task manager in the background", _WORKER, (*_C0, "command", 1), "start"),
    mistake("a task manager of Flink 2", _WORKER, (*_C0, "image"), "docker.io/library/flink:2.0.0-scala_2.12-java17"),
    mistake("a task manager whose port is not in its configuration", _WORKER, (*_C0, "ports", 0, "containerPort"), 6125),
    mistake("workers that share nothing with steps", _WORKER, (*_C1, "volumeMounts", 1), GONE),
    mistake("workers that see the shared folder elsewhere", _WORKER, (*_C1, "volumeMounts", 1, "mountPath"), "/mnt/shared"),
    mistake("workers with a read only share", _WORKER, (*_C1, "volumeMounts", 1, "readOnly"), True),
    mistake("workers whose pool has no port", _WORKER, (*_C1, "ports"), GONE),
    mistake("a log folder that is read only", _WORKER, (*_C0, "env", 1, "value"), "/opt/flink/log"),
    mistake("three replicas of a typed number", _WORKER, ("spec", "replicas"), "2"),
    # services and doors
    mistake("a Service for the REST port alone", "Service hemix-flink", ("spec", "ports", 0), GONE),
    mistake("a Service's port by a number that no one listens at", "Service hemix-flink-jobserver", ("spec", "ports", 1, "targetPort"), 8097),
    mistake("a Service with the artifacts' port for jobs", "Service hemix-flink-jobserver", ("spec", "ports", 1, "targetPort"), "artifacts"),
    mistake("a headless Service with a typo", "Service hemix-redis", ("spec", "clusterIP"), "none"),
    mistake("a Service that is named twice in capitals", "Service hemix-redis", ("metadata", "name"), "Hemix-redis"),
    mistake("a policy of an old API group", "NetworkPolicy redis", ("apiVersion",), "extensions/v1beta1"),
    mistake("redis asked over UDP", "NetworkPolicy redis", ("spec", "ingress", 0, "ports", 0, "protocol"), "UDP"),
    mistake("steps that any pod may ask for metadata", "NetworkPolicy pipeline", ("spec", "egress", 0, "to", 0, "namespaceSelector"), {}),
    mistake("a policy of pods and namespaces apart", "NetworkPolicy dns", ("spec", "egress", 0, "to"),
            [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}},
             {"podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}]),
    mistake("storage by a label of another value", "NetworkPolicy serving-storage", ("spec", "egress", 1, "to", 0, "namespaceSelector", "matchLabels"), {"hemix/storage": "yes"}),
    mistake("storage over HTTP alone", "NetworkPolicy serving-storage", ("spec", "egress", 0, "ports", 0, "port"), 80),
    mistake("a training that any namespace may join", "NetworkPolicy training", ("spec", "ingress", 0, "from", 0),
            {"namespaceSelector": {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "Exists"}]}}),
    mistake("a policy for the ranker that names the deployment", "NetworkPolicy ranker", ("spec", "podSelector", "matchLabels"),
            {"app": "ranker"}),
    mistake("a port by its name in capitals", "NetworkPolicy ranker", ("spec", "ingress", 0, "ports", 0, "port"), "HTTP"),
    mistake("egress rules under ingress", "NetworkPolicy to-redis", ("spec", "ingress"), [{"to": [{"podSelector": {}}]}]),
    # rights
    mistake("a deployer that may delete any claim", "Role hemix-deployer", ("rules", 8, "verbs"), ["get", "delete"]),
    mistake("runs that may make pods", "Role hemix-pipeline", ("rules", 3, "verbs"), ["get", "list", "create"]),
    mistake("runs that may read logs of a typo", "Role hemix-pipeline", ("rules", 3, "resources"), ["pod"]),
    mistake("runs that may do all with TrainJobs", "Role hemix-pipeline", ("rules", 4, "verbs"), ["*"]),
    mistake("a rule for a group of a typo", "Role hemix-pipeline", ("rules", 0, "apiGroups"), ["argoproj.com"]),
    mistake("a deployer that may not see HPAs but patch them", "Role hemix-deployer", ("rules", ADD),
            {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": ["patch"]}),
    mistake("a binding of every account", "RoleBinding hemix-pipeline", ("subjects", 0),
            {"kind": "Group", "name": "system:serviceaccounts", "apiGroup": "rbac.authorization.k8s.io"}),
    mistake("a deployer bound to the role of runs", "RoleBinding hemix-deployer", ("roleRef", "name"), "hemix-pipeline"),
    mistake("an account's keys of another name", "ServiceAccount hemix-serving", ("secrets", 0, "name"), "storage"),
    # room
    mistake("a quota for one training's node", "ResourceQuota", ("spec", "hard", "requests.memory"), "100Gi"),
    mistake("a quota of limits below requests", "ResourceQuota", ("spec", "hard", "limits.memory"), "700Gi"),
    mistake("a quota that lets load balancers in", "ResourceQuota", ("spec", "hard", "services.loadbalancers"), GONE),
    mistake("a quota of pods that is no number", "ResourceQuota", ("spec", "hard", "pods"), "many"),
    mistake("a default of two megabytes", "LimitRange", ("spec", "limits", 0, "default", "memory"), "2Mi"),
    mistake("a limit of claims below redis' disk", "LimitRange", ("spec", "limits", 1, "max", "storage"), "50Gi"),
    mistake("no type of limits", "LimitRange", ("spec", "limits", 0, "type"), GONE),
    mistake("a shared claim that one node mounts", "PersistentVolumeClaim hemix-shared", ("spec", "accessModes"), ["ReadWriteOncePod"]),
    # the endpoint
    mistake("a version that is downloaded over HTTP", _V, (*_M, "storageUri"), "http://models/registry/versions/20220507-5e6f7a8b"),
    mistake("a version's model of a runtime's other format", _V, (*_M, "modelFormat", "version"), "2"),
    mistake("a version with an argument that serve lacks", _RUN, (*_RUNC, "args", ADD), "--fast"),
    mistake("a runtime whose number of workers is a word", _RUN, (*_RUNC, "args", 10), "eighty"),
    mistake("a runtime that starts Python's server", _RUN, (*_RUNC, "command"), ["python", "-m", "http.server"]),
    mistake("a version with Knative's concurrency", _V, (*_P, "containerConcurrency"), 10),
    mistake("a version that goes by canaryTrafficPercent", _V, (*_P, "canaryTrafficPercent"), 10),
    mistake("a version that logs to a broker", _V, (*_P, "logger"), {"mode": "all", "url": "http://broker"}),
    mistake("a version that is stopped by an annotation", _V, ("metadata", "annotations", "serving.kserve.io/stop"), "true"),
    mistake("a version that is public", _V, ("metadata", "labels", "networking.kserve.io/visibility"), "public"),
    mistake("a version that surges by nothing", _V, (*_P, "deploymentStrategy", "rollingUpdate", "maxSurge"), 0),
    mistake("a version with an initializer of a typo", _V, (*_P, "storageContainerName"), "hemx"),
    mistake("a version that is live when it is loaded", _V, (*_M, "livenessProbe", "httpGet", "path"), "/v2/models/20220507-5e6f7a8b/live"),
    mistake("a version that is ready after the fifth minute of silence", _V, (*_M, "readinessProbe", "periodSeconds"), 60),
    mistake("a ranker without a grace period", _R, (*_P, "terminationGracePeriodSeconds"), GONE),
    mistake("a ranker without experiments' folder", _R, (*_RC, "args", 6), "/etc/hemix/experiments.yaml"),
    mistake("a ranker that takes events and no dead letters", _R, (*_RC, "volumeMounts", 2), GONE),
    mistake("a ranker whose figures stand at the gRPC port", _R, (*_RC, "args", 20), "8081"),
    mistake("a ranker of 500 workers", _R, (*_RC, "args", 24), "500"),
    mistake("a ranker whose exposures lie in no bucket", _R, (*_RC, "args", 12), "s3:/models/exposures"),
    mistake("a ranker with the key of another secret", _R, (*_RC, "env", 6, "valueFrom", "secretKeyRef", "name"), "hemix-storage"),
    mistake("a ranker that lets pods read tokens", _R, (*_P, "automountServiceAccountToken"), True),
    mistake("a ranker's secret that need not be there", _R, (*_RC, "env", 5, "valueFrom", "secretKeyRef", "optional"), False),
    mistake("predictors at the pod's port", "ConfigMap ranker-predictors", ("data", "predictors.yaml"),
            "salt: s\npredictors:\n- {version: 20220430-1a2b3c4d, state: champion, share: 1.0,"
            " url: 'http://ranker-20220430-1a2b3c4d-predictor.hemix:8080'}\n"),
    mistake("predictors of a state that is none", "ConfigMap ranker-predictors", ("data", "predictors.yaml"),
            "salt: s\npredictors:\n- {version: 20220430-1a2b3c4d, state: winner, share: 1.0,"
            " url: 'http://ranker-20220430-1a2b3c4d-predictor.hemix'}\n"),
    mistake("predictors in a ConfigMap that cannot change", "ConfigMap ranker-predictors", ("immutable",), True),
    mistake("a scaler that is paused", "ScaledObject ranker", ("metadata", "annotations"), {"autoscaling.keda.sh/paused": "true"}),
    mistake("a scaler by the average of nothing", "ScaledObject ranker", ("spec", "triggers", 0, "metadata", "query"), ""),
    mistake("a scaler of CPU without a kind", "ScaledObject ranker-20220507", ("spec", "triggers", 0, "metricType"), GONE),
    mistake("a route that rewrites nothing to nothing", "HTTPRoute ranker", ("spec", "rules", 0, "filters"),
            [{"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}}]),
    mistake("a route for POST of a header", "HTTPRoute ranker", ("spec", "rules", 0, "matches", 0, "headers"), [{"name": "x-env", "value": "test"}]),
    mistake("a Gateway in plain TCP", "Gateway", ("spec", "listeners", 0, "protocol"), "TCP"),
    # trainings
    mistake("a training whose nodes meet at localhost", _T, (*_TRAINER, "args", 1), "--rdzv-endpoint=localhost:29400"),
    mistake("a training without its work", _T, (*_TRAINER, "args", 8), GONE),
    mistake("a training of work that cannot be read", _T, (*_TRAINER, "args", 8), "{recipe: {}}"),
    mistake("a training that reads from nowhere", _T, (*_TRAINER, "args", 8),
            '{"recipe":{},"spec":"s3://runs/inputs/spec","train":"","validation":"s3://runs/v","checkpoints":"s3://runs/c","attempt":"0123456789ab"}'),
    mistake("a training that asks CPUs for a GPU's work", _T, (*_TRAINER, "resourcesPerNode"),
            {"requests": {"cpu": "8", "memory": "64Gi"}, "limits": {"memory": "64Gi", "nvidia.com/gpu": "2"}}),
    mistake("a training with a scratch that is gone", _T, (*_NODE_POD, "containers", 0, "volumeMounts", 0), GONE),
    mistake("a training whose GPUs are other words", _T, (*_TRAINER, "resourcesPerNode", "limits"), {"memory": "64Gi", "gpu": "1"}),
    mistake("a runtime of trainings without shared user", "TrainingRuntime", (*_RT_POD, "securityContext", "runAsUser"), GONE),
    mistake("a runtime that starts again for ever", "TrainingRuntime", ("spec", "template", "spec", "failurePolicy", "maxRestarts"), 1000),
    mistake("a runtime of two nodes by default and none of torch", "TrainingRuntime", ("spec", "mlPolicy"), {"numNodes": 2, "mpi": {}}),
    # settings and watching
    mistake("a launcher whose keys are swapped", "ConfigMap kfp-launcher", ("data", "providers"),
            "s3: {default: {endpoint: s3.example.com, region: x, forcePathStyle: true, credentials: {fromEnv: false,"
            " secretRef: {secretName: hemix-storage, accessKeyKey: AWS_SECRET_ACCESS_KEY, secretKeyKey: AWS_ACCESS_KEY_ID}}}}"),
    mistake("a launcher whose true is a text", "ConfigMap kfp-launcher", ("data", "providers"),
            "s3: {default: {endpoint: s3.example.com, region: x, forcePathStyle: 'yes', credentials: {fromEnv: true}}}"),
    mistake("redis that writes its data beside the volume", "ConfigMap hemix-redis", ("data", "redis.conf"),
            "port 6379\nprotected-mode yes\ndir /data/redis\nappendonly yes\nmaxmemory-policy noeviction\n"),
    mistake("redis' directive of a typo", "ConfigMap hemix-redis", ("data", "redis.conf"),
            "port 6379\nprotected-mode yes\ndir /data\nappend-only yes\nappendonly yes\nmaxmemory-policy noeviction\n"),
    mistake("rules of a group without rules", _RECORDS, ("spec", "groups", 0, "rules"), []),
    mistake("an alert's query of a label that no one writes", _RULES, ("spec", "groups", 0, "rules", 0, "expr"), 'absent(up{role="rankers"} == 1)'),
    mistake("a recording rule of another name", _RECORDS, ("spec", "groups", 0, "rules", 0, "record"), "hemix:requests"),
    mistake("a monitor without its role", "ServiceMonitor hemix-predictor", ("spec", "endpoints", 0, "relabelings"), []),
    mistake("a monitor that drops every figure", "ServiceMonitor hemix-ranker", ("spec", "endpoints", 0, "metricRelabelings"),
            [{"action": "drop", "regex": "hemix_.*", "sourceLabels": ["__name__"]}]),
    mistake("an initializer with a root that may be", _STORAGE, ("spec", "container", "securityContext", "runAsNonRoot"), False),
    mistake("an initializer of a mirror's typo", _STORAGE, ("spec", "container", "image"), "docker.io/kserve/storage-initialiser:v0.20.0"),
    mistake("a Pod Security version without its v", "Namespace", ("metadata", "labels", "pod-security.kubernetes.io/enforce-version"), "1.31"),
)  # fmt: skip
