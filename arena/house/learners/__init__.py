"""House learners: one training algorithm a file."""
