"""The pages: thin views over services and selectors, templates, static files, the live stream."""
