"""What the project's claims of speed rest on: ``python -m benchmarks`` prints the tables."""
