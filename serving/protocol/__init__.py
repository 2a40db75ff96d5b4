"""KServe V1, V2 and gRPC around the ranking service."""
