"""One module per verb: parses, calls, prints; holds no logic."""
