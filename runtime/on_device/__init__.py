"""Restoring on a card: pictures stay there from their upload until a finished frame is downloaded."""
