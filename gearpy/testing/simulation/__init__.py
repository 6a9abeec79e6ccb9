"""A whole world under one seed: clients, workers and operators, a network that breaks, a disk that
forgets, a server that crashes, and a witness who checks all promises as things happen.

    outcome = simulate(1234)
    assert outcome.broken is None, "\\n".join(outcome.story.lines(50))

The same seed gives the same story, so what went wrong once can be looked at as often as needed:

    python -m gearpy.testing.simulation --seeds 1234 --story

Read ``world``, then ``machine`` (the server's shell), ``network`` and ``disk``, then the peers
(``clients``, ``workers``, ``operators``), and what must hold: ``witness`` and the modules that it
asks (``heard``, ``said``, ``grants``, ``lives``, ``followups``, ``wakeups``, ``recount``,
``restarts``).
"""

from gearpy.testing.simulation.world import Outcome, World, simulate

__all__ = ["Outcome", "World", "simulate"]
