"""A local ServiceDesk Plus MSP."""
