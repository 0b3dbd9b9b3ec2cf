"""Leave the build folder: HDF5 shards, meshes, images, folders of other datasets."""
