"""Singer target for ServiceDesk Plus MSP: accounts and worklog types."""
