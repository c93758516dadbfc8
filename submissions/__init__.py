"""Packages: uploaded, kept under their hash, and qualified before they may play."""
