"""House poisoners: one method a file."""
