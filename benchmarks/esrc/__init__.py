"""The ESRC (Stirling) benchmark: the FG2018 challenge's distances of a scan to a prediction."""
