"""Registration: a face model's topology laid on scans."""
