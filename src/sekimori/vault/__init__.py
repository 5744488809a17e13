"""Provider keys and every other secret: the one place of plaintext. docs/spec/vault.md."""
