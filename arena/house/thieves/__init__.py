"""House thieves: one method of model extraction a file."""
