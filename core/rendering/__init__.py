"""Pictures of meshes."""
