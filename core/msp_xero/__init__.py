"""The shared heart of msp-xero."""
