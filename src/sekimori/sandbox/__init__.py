"""The built-in practice provider: speaks both dialects, answers alike each time, fails on request, says what it is."""
