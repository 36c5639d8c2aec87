"""What models are: their facts, the catalogue, and the small networks that ship. No device, no engine."""
