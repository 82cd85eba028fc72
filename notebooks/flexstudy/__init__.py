"""The study: what its chapters compute and draw, a module a chapter, and the runs that they are made of."""
