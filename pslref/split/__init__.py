"""The protocol: clients, a server, and what crosses the wire (docs/method.md, section 1)."""
