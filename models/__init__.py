"""Rankers in torch: layers, HeMix and its peers, losses, metrics, training."""
