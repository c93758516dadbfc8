"""Views, one noun a file."""
