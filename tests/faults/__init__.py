"""The kill -9 campaign: `make faults`. See __main__."""
