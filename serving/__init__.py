"""KServe: transformer, predictor, model versions, experiment assignment."""
