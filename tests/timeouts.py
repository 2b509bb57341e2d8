"""How long tests wait: for conditions, and never for a time. The bounds are here and nowhere else.

A bound is no expectation: it is what ends a test that would never end. So it is far beyond what a busy machine needs
(the suite must pass while all processors have four times their work); how fast something is belongs to bench/.
"""

from __future__ import annotations

# Seconds in which whatever will happen at all has happened.
LONG = 300.0
# One command of `fab`, which may wait for several of those.
COMMAND = 900.0
# One answer of an app that runs, by HTTP; one connection to it.
ANSWER = 60.0
# What an inventory of tests gives a new instance: those that never get healthy make their test wait so long.
HEALTHY_WITHIN = 60
