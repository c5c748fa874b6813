"""What an owner writes: files, words, times, and the problems in them."""
