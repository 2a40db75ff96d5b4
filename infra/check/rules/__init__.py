"""What a cluster would refuse, or take and then not do, and no schema says: one file a subject.

Each function takes one manifest, or all objects of an installation, and yields sentences. Sources:
Kubernetes 1.31 ``pkg/apis/*/validation``, the Pod Security Standards, KServe 0.20's, Trainer 2.2's and
the Gateway API's own webhooks and rules.
"""
