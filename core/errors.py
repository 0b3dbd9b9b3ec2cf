"""Everything facekit raises on purpose, and the exit code of each.

    FacekitError
    ├── InputError                 2  a file, folder or option given by the user is wrong
    │   ├── ConfigError               an unknown or unusable setting
    │   ├── SchemaError               a facekit file of another version or shape
    │   └── ModelFileError            a face model or checkpoint that is not what it should be
    ├── EstimationError            3  the data are readable but do not determine the result
    │   ├── CalibrationError
    │   └── RegistrationError
    └── MissingDependencyError     4  an optional package or system library is absent

A message says what is wrong, in which file, and what to do next. `cli.main` is the one
place that turns these into a sentence on stderr and an exit code.
"""


class FacekitError(Exception):
    """Base of all errors that facekit raises on purpose."""

    exit_code = 1


class InputError(FacekitError):
    """Something that the user gave is wrong: a path, an image, an option."""

    exit_code = 2


class ConfigError(InputError):
    """A setting is unknown or cannot be used."""


class SchemaError(InputError):
    """A facekit file has another version or shape than this facekit reads."""


class ModelFileError(InputError):
    """A face model or checkpoint file is not what it should be."""


class EstimationError(FacekitError):
    """The data are readable but do not determine the result."""

    exit_code = 3


class CalibrationError(EstimationError):
    """The rig cannot be calibrated from these images."""


class RegistrationError(EstimationError):
    """The template cannot be registered to this scan."""


class MissingDependencyError(FacekitError):
    """An optional package or a system library is absent."""

    exit_code = 4
