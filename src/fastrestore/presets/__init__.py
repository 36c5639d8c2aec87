"""Named bundles of options, by what a film is: readable files, and what reads them."""
