"""What grain a film has, and grain like it."""
