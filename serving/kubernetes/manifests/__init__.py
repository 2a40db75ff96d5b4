"""What is sent to a cluster: InferenceServices and what belongs to them."""
