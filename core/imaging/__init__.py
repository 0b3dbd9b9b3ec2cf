"""Reading, writing, colour and resampling of images."""
