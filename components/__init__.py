"""One folder a step: step.py does the work, component.py declares it to kfp."""
