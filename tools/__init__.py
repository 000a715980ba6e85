"""Programs that are run by hand, from the checkout: `python -m tools.mutants`."""
