"""The sums of training, faster than autograd and dense products make them; the tests hold them to the plain reference."""
