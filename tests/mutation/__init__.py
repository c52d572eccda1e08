"""Mutation testing: ``make mutation``. What survives is explained in README.md."""
