"""Singer tap for Xero: contacts, items, reference data and invoices."""
