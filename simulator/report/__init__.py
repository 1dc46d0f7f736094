"""The report: the results of sweeps as one self-contained page for a browser."""
