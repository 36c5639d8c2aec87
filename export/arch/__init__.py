"""Network definitions, one folder per architecture."""
