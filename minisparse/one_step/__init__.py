"""A second way to take a step, for networks whose layers stand one after another.

The tape is the way that every model goes: it records the forward, walks back, and the optimizer moves
one parameter after the other.  Here the same loss and gradients come from one compiled call, and the
same update from one pass over memory.  Nothing but `minisparse.train` knows of it: a step of
LeNet-300-100 on 100 images takes 1.3 times as long on the tape on one thread and 1.5 times on two, on
10 images 1.7 and 2.0 times; where the arithmetic is most of a step (LeNet-5, 100 images), 1.05 and 1.09
times.  Without that difference it would have no reason to be here.
"""

from .step import OneStep

__all__ = ["OneStep"]
