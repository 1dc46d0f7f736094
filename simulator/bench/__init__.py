"""What the verb `bench` measures."""
