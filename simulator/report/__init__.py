"""The report: what a sweep found, as one page for a browser that needs nothing else."""
