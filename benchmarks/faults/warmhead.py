"""Makes the built-in head as it is imported: forks of the process that did so have it already."""

from ...core.facemodel.procedural import procedural_head

procedural_head()
