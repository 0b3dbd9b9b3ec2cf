"""From board views to a rig, and what is known of it."""
