"""From other gateways: their configuration read, documents and a report of what could not be carried written."""
