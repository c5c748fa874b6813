"""Who is matched: a rule and a moment make one statement."""
