"""Everything that talks to the outside: the API server, Prometheus, the object store."""
