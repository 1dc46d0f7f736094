"""Networks whose authors released checkpoints: SwinJSCC, WITT, NTSCC, ADJSCC and PDJSCC's generator."""
