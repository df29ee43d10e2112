"""The local Xero: the slice of the Accounting API 2.0 and its token endpoint that an invoicing client uses."""
