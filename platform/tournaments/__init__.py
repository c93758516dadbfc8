"""Tournaments, rounds, entries and matches: who plays whom, when, and what was found."""
