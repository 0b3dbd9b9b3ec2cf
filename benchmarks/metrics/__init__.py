"""Numerics that several benchmarks share: exact surface distances, Procrustes, the sphere crop."""
