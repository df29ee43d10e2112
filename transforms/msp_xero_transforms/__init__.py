"""Singer mapper of msp-xero: contacts to accounts, items to worklog types, worklogs to invoice lines."""
