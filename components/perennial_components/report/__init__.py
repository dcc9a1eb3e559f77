"""The page that tells a person what a run found."""
