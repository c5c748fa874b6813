"""What carries messages out and brings data in; imports nothing of the engine."""
