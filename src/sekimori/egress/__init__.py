"""The one place of sockets to an address that a tenant can influence."""
