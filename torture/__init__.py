"""Proof by simulation: whole billing months with every fault that can be provoked, replayable from a seed.

The plugins run unchanged in one process. What is injected stands at their borders only: HTTP goes to
the sandbox's two systems, time is virtual, workers take turns, and a process can die, be stopped or
find the disk full at any call, commit or line (:mod:`torture.borders`). A seed makes a script of steps
(:mod:`torture.story`), a world carries them out (:mod:`torture.world`), and after every run the
promises are checked against both systems and the ledger (:mod:`torture.invariants`).
"""
