"""The words of the rule language: one class each, giving schema, SQL and sentence."""
