"""Who plays: users, teams, invitations and API tokens."""
