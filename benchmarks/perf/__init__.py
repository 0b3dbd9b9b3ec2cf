"""How work spreads over machines: throughput, cost as a data set grows, plans of large runs."""
