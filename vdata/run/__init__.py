"""How a plan happens: compiled to a function of a position, folded as a stream, run by a ring of workers."""
