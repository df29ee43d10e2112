"""What people use of msp-xero: the command line."""
