"""The local door: JSON-RPC 2.0, one value a line, over a Unix socket."""
