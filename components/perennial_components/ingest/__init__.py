"""Takes in the data of a run: files in a store or on the web, or a query of a database."""
