"""Where training data comes from: virtual people, datasets, folders of photographs."""
