"""Engine implementations. They are found through the table in `fastrestore.runtime.engine`, never imported."""
