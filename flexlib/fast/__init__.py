"""The sums of training, faster than by autograd and dense products; tests hold them to the plain reference."""
