"""The REST API under ``/api/v1/`` (docs/bots.md): thin views over services and selectors."""
