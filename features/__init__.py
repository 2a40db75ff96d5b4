"""What a feature is: event schema, data set definitions, sequences, the transform, the store."""
