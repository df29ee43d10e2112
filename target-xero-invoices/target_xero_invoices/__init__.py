"""Singer target that turns worklog lines into Xero invoices, each worklog exactly once."""
