"""REALY: region-aware evaluation of a reconstructed face against a scan."""
