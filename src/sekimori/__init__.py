"""Sekimori: a zero-trust gateway and control plane for multi-tenant AI agents."""

__version__ = "0.1.0"
