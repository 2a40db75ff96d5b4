"""What hemix asks of a Kubeflow Pipelines API server: versions, runs, schedules."""
