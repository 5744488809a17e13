"""The languages agents and providers speak, sans-IO: bytes in, facts out, nothing translated."""
