"""From target images (or none) to a calibrated rig.

Stages: `calibrate` (a board), `selfcal` (no board), `check` (has a camera moved since?).
What they are made of, in the order of data: `target` (corners in photographs), `solve` (corners
to a rig), `structure` (rigs from the subject itself), `stability` (a rig against a take);
`interchange` takes rigs to other programs and back.
"""
