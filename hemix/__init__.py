"""What every other package of the project stands on: errors, files, verdicts, the feature contract."""

__version__ = "0.1.0"
