"""Makes the weights of the injection detector from the rows in `corpus/`, and reports on the rows in `dev/`.

No part of the product imports this, and dev rows are never learned from: they choose thresholds and calibration.
"""
