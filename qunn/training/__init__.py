"""Training: settings and models by name -> the loop and its checkpoints -> the page that a run prints."""
