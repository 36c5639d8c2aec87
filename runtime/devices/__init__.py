"""What computes: finding the NVIDIA driver, and implementations of `fastrestore.runtime.memory.Device`."""
