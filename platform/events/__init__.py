"""What happened: an append-only outbox, written in the transaction of the change it tells of."""
