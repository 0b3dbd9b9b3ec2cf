"""From a calibrated session to ground truth."""
