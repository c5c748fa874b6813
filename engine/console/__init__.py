"""What a person sees: text and tables for the command line."""
