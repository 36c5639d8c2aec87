"""How the default weights were made: recipes, data, training, export, figures."""
