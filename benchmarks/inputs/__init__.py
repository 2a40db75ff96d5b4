"""What is measured on: made-up logs and batches of any size, and load for an endpoint."""
