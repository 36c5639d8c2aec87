"""Many films in one go: which, where to, how, side by side, and what became of each."""
