"""The local Xero: the slice of the Accounting API and its token endpoint that invoicing uses."""
