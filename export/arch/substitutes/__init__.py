"""Parts of others' networks that cannot be traced with symbolic sizes, and equal parts that can."""
