"""The borders of the program that tests replace: the clock and the HTTP session."""
