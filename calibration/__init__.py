"""From target images to a calibrated rig."""
