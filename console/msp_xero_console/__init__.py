"""What people use of msp-xero: the command line (and later the web console)."""
