"""Records a run in a tracking server, where one is named."""
