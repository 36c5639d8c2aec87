"""ColourNet: the small default network that guesses the colours of a grey picture."""
