"""Using what was fitted: lists, new ratings, files of splits and predictions, and scores that people ask for."""
