"""Trouble for real: processes that are killed, disks that are full, machines that stall."""
