"""One YAML file -> one figure of the paper."""
