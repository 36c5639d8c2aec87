"""What is dust, dirt or a scratch, and what was beneath it."""
