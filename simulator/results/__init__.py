"""Results on disk: rows, their database, pictures and provenance."""
