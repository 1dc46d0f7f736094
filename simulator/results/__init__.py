"""What is on disk: rows, their database, pictures beside them, and where they come from."""
