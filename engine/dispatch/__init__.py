"""What goes out: the outbox, the fence, and what became of each message."""
