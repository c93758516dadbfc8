"""Standings and matrix, materialised from verdicts.

Nothing below calls this application: it reads the event outbox by a cursor of its own
(``services.fold_once``; ``manage.py leaderboard follow`` does so all the time), recomputes the
tiers that an event touches with ``arena.ranking``, and tells ``board.changed``.
"""
