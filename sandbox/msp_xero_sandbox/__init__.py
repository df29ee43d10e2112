"""A local Xero and a local ServiceDesk Plus MSP that behave as their public documentation says.

The sandbox imports nothing of the product, and the product nothing of the sandbox: they share
only the documented facts, so that one misunderstanding cannot hide in both.
"""
