"""One module a resource of the API: what it accepts, and what it does."""
