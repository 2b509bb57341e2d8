"""Time limits of tests, all in one place. Tests wait for conditions, and never for a time.

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
# Seconds for a new instance in an inventory of tests: a test with an instance that never gets healthy waits so long.
HEALTHY_WITHIN = 60
