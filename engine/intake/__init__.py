"""Records in: check, normalise, match to a customer, write, keep the facts up."""
