"""Transforms, cameras, meshes, rays and closest points."""
