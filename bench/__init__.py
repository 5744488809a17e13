"""What a call costs, measured against nginx in one run (`make bench`)."""
