"""Training: data in memory, a resumable loop, and the stages of Algorithm 1."""
