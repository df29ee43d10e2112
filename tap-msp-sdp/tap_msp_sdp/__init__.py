"""Singer tap for ServiceDesk Plus MSP: accounts, tickets and the worklogs of all five modules."""
