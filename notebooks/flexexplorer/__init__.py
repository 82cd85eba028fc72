"""The explorer: sliders over recorded runs, and controls that train."""
