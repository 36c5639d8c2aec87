"""The version, for those below the package's front door."""

__version__ = "0.1.0"
