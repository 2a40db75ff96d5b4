"""The gate between a trained model and live traffic."""
