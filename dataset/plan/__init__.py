"""Before a rig is built: what its cameras will see of a face, how finely and how exactly."""
