"""Other predictors behind one interface, and tuning them on validation ratings."""
