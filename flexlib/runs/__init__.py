"""Many runs to one table: plans, their cost, the engine that works them off, and the records they leave."""
