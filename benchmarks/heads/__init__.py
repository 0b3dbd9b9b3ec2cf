"""The `virtual` benchmark: people whose surface is known, drawn and photographed from a seed."""
