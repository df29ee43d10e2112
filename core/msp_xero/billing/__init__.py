"""Lines become invoices: plan, push, reconcile. Everything here acts on what the ledger holds."""
