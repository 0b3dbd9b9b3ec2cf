"""HDF5 files that were made to do harm: data elsewhere, links in circles, absurd sizes, odd types.

Each maker changes a sound shard of subject `DRAWN00`, capture `E01`, that is open for writing;
those of `OF_DATASETS` change a topology file as well. What a file would lead to lies in a folder
that the maker is told.
"""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Fill = Callable[[h5py.File, Path], None]
_E01 = "captures/E01"
_MANY = 100_000
_ZSTD = 32015  # a filter of a plug-in, that HDF5 would look for and load


def put(file: h5py.File, name: str, **how: Any) -> h5py.Dataset:
    """Make a dataset anew: of the capture, or the first there is in a topology file."""
    where = f"{_E01}/{name}" if _E01 in file else next(iter(file))
    del file[where]
    return file.create_dataset(where, **how)


def external_link(file: h5py.File, folder: Path) -> None:
    """Lead to a dataset of another file."""
    file[f"{_E01}/masks/cam07"] = h5py.ExternalLink(str(folder / "other.h5"), "/secret")


def link_to_a_group_elsewhere(file: h5py.File, folder: Path) -> None:
    """Let a whole capture lie in another file."""
    del file[_E01]
    file[_E01] = h5py.ExternalLink(str(folder / "other.h5"), "/")


def link_beside(file: h5py.File, folder: Path) -> None:
    """Lead to another file by a path from here."""
    file[f"{_E01}/masks/cam07"] = h5py.ExternalLink(f"../{folder.name}/other.h5", "/secret")


def link_to_itself(file: h5py.File, folder: Path) -> None:
    """Lead to this file as if it were another."""
    file[f"{_E01}/masks/cam07"] = h5py.ExternalLink(file.filename, f"/{_E01}/masks/cam00")


def soft_link(file: h5py.File, folder: Path) -> None:
    """Lead to another dataset."""
    file[f"{_E01}/masks/cam07"] = h5py.SoftLink(f"/{_E01}/masks/cam00")


def dangling_link(file: h5py.File, folder: Path) -> None:
    """Lead to nothing."""
    file["captures/E02"] = h5py.SoftLink("/nowhere")


def chain_of_links(file: h5py.File, folder: Path) -> None:
    """Lead from link to link."""
    for i in range(40):
        file[f"{_E01}/masks/c{i}"] = h5py.SoftLink(f"/{_E01}/masks/c{i + 1}")


def cycle(file: h5py.File, folder: Path) -> None:
    """Let a group hold one that it lies in."""
    file[f"{_E01}/maps/again"] = file["captures"]


def cycle_to_the_root(file: h5py.File, folder: Path) -> None:
    """Let a group hold the whole file."""
    file[f"{_E01}/again"] = file["/"]


def soft_cycle(file: h5py.File, folder: Path) -> None:
    """Let a link lead to itself."""
    file[f"{_E01}/maps/again"] = h5py.SoftLink(f"/{_E01}/maps/again")


def two_soft_links(file: h5py.File, folder: Path) -> None:
    """Let two links lead to each other."""
    file[f"{_E01}/maps/one"] = h5py.SoftLink(f"/{_E01}/maps/two")
    file[f"{_E01}/maps/two"] = h5py.SoftLink(f"/{_E01}/maps/one")


def twice(file: h5py.File, folder: Path) -> None:
    """Give a dataset two names."""
    file[f"{_E01}/masks/cam01b"] = file[f"{_E01}/masks/cam01"]


def raw_storage(file: h5py.File, folder: Path) -> None:
    """Let a dataset's bytes be those of another file."""
    put(file, "masks/cam00", shape=(64,), dtype="u1", external=[(_secret(folder), 0, 64)])


def raw_storage_of_the_machine(file: h5py.File, folder: Path) -> None:
    """Let a dataset's bytes be a file of the system, however long it is."""
    how = [("/etc/hostname", 0, h5py.h5f.UNLIMITED)]
    put(file, "masks/cam00", shape=(8,), maxshape=(None,), dtype="u1", external=how)


def raw_storage_beside(file: h5py.File, folder: Path) -> None:
    """Name the other file by a path from here."""
    name = f"../{folder.name}/{Path(_secret(folder)).name}"
    put(file, "masks/cam00", shape=(64,), dtype="u1", external=[(name, 0, 64)])


def virtual(file: h5py.File, folder: Path) -> None:
    """Put a dataset together of one in another file."""
    _virtual(file, str(folder / "other.h5"), "secret")


def virtual_of_itself(file: h5py.File, folder: Path) -> None:
    """Put a dataset together of itself."""
    _virtual(file, ".", f"{_E01}/masks/cam00")


def virtual_beside(file: h5py.File, folder: Path) -> None:
    """Name that file by a path from here."""
    _virtual(file, f"../{folder.name}/other.h5", "secret")


def _virtual(file: h5py.File, source: str, name: str) -> None:
    where = f"{_E01}/masks/cam00" if _E01 in file else next(iter(file))
    layout = h5py.VirtualLayout(shape=(64,), dtype="u1")
    layout[:] = h5py.VirtualSource(source, name, shape=(64,))
    del file[where]
    file.create_virtual_dataset(where, layout)


def huge_claim(file: h5py.File, folder: Path) -> None:
    """Claim petabytes."""
    put(file, "maps/sigma", shape=(1 << 26, 1 << 26), dtype="f2", chunks=(64, 64))


def overflowing_claim(file: h5py.File, folder: Path) -> None:
    """Claim more than 64 bits can count."""
    put(file, "maps/sigma", shape=(1 << 40, 1 << 40, 1 << 20), dtype="f2", chunks=(4, 4, 4))


def claim_that_wraps(file: h5py.File, folder: Path) -> None:
    """Claim a size that is small again once it has overflowed."""
    put(file, "maps/sigma", shape=(1 << 32, (1 << 31) + 1), dtype="f4", chunks=(4, 4))


def huge_chunk(file: h5py.File, folder: Path) -> None:
    """Store sixteen values in a chunk of gigabytes."""
    put(file, "maps/sigma", shape=(4, 4), maxshape=(None, None), dtype="f8", chunks=(1 << 14,) * 2)


def tiny_chunks(file: h5py.File, folder: Path) -> None:
    """Store each value in a chunk of its own."""
    put(file, "maps/sigma", data=np.ones((64, 64), "f2"), chunks=(1, 1), compression="gzip")


def unstored(file: h5py.File, folder: Path) -> None:
    """Claim a gigabyte of which nothing is stored."""
    put(file, "maps/sigma", shape=(8192, 8192), dtype="f2", chunks=(64, 64))


def gzip_bomb(file: h5py.File, folder: Path) -> None:
    """Pack 288 MB into some hundred kilobytes."""
    put(file, "maps/sigma", data=np.zeros((12000, 12000), np.float16), chunks=(12000, 12000),
        compression="gzip", compression_opts=9)  # fmt: skip


def chunk_that_unfolds(file: h5py.File, folder: Path) -> None:
    """Store a chunk of 64 bytes as a stream of 64 MB: HDF5 would make room for all of it."""
    data = put(file, "masks/cam00", shape=(64,), dtype="u1", chunks=(64,), compression="gzip")
    data.id.write_direct_chunk((0,), zlib.compress(bytes(64 << 20), 9))


def objects(file: h5py.File, folder: Path) -> None:
    """Hold references."""
    put(file, "maps/sigma", shape=(4,), dtype=h5py.special_dtype(ref=h5py.Reference))


def regions(file: h5py.File, folder: Path) -> None:
    """Hold references to regions."""
    put(file, "maps/sigma", shape=(4,), dtype=h5py.special_dtype(ref=h5py.RegionReference))


def variable_length(file: h5py.File, folder: Path) -> None:
    """Hold rows of any length."""
    put(file, "maps/sigma", shape=(4,), dtype=h5py.vlen_dtype(np.uint8))


def texts(file: h5py.File, folder: Path) -> None:
    """Hold texts of any length."""
    put(file, "maps/sigma", shape=(4,), dtype=h5py.string_dtype())


def compound(file: h5py.File, folder: Path) -> None:
    """Hold records."""
    put(file, "maps/sigma", shape=(4,), dtype=np.dtype([("a", "f4"), ("b", "i4")]))


def opaque(file: h5py.File, folder: Path) -> None:
    """Hold bytes of no meaning."""
    put(file, "maps/sigma", shape=(4,), dtype="V16")


def arrays_in_arrays(file: h5py.File, folder: Path) -> None:
    """Hold arrays as single values."""
    put(file, "maps/sigma", shape=(4,), dtype=np.dtype(("f4", (1 << 10, 4))))


def complex_numbers(file: h5py.File, folder: Path) -> None:
    """Hold complex numbers, which HDF5 has as records."""
    put(file, "maps/sigma", shape=(8, 8), dtype="c16")


def foreign_filter(file: h5py.File, folder: Path) -> None:
    """Be packed with h5py's own filter."""
    put(file, "maps/sigma", shape=(64, 64), dtype="f2", chunks=(64, 64), compression="lzf")


def filter_of_a_plugin(file: h5py.File, folder: Path) -> None:
    """Ask for a filter that HDF5 would load from a folder of plug-ins."""
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((64, 64))
    settings.set_filter(_ZSTD, h5py.h5z.FLAG_OPTIONAL, (3,))
    where = f"{_E01}/maps/sigma" if _E01 in file else next(iter(file))
    del file[where]
    space = h5py.h5s.create_simple((64, 64))
    h5py.h5d.create(file.id, where.encode(), h5py.h5t.IEEE_F32LE, space, settings)


def scaled_integers(file: h5py.File, folder: Path) -> None:
    """Be packed with a filter that changes values."""
    put(file, "maps/sigma", data=np.ones((64, 64), "i4"), chunks=(64, 64), scaleoffset=0)


def named_type(file: h5py.File, folder: Path) -> None:
    """Hold a type by a name."""
    file[f"{_E01}/maps/type"] = np.dtype("f4")


def no_shape(file: h5py.File, folder: Path) -> None:
    """Hold an empty object."""
    put(file, "maps/sigma", data=h5py.Empty("f2"))


def many_dimensions(file: h5py.File, folder: Path) -> None:
    """Have 32 dimensions."""
    put(file, "maps/sigma", shape=(2,) * 32, dtype="f2", chunks=(1,) * 32)


def data_for_captures(file: h5py.File, folder: Path) -> None:
    """Be a dataset where captures should be."""
    del file["captures"]
    file["captures"] = np.zeros((4, 4), "f4")


def group_for_data(file: h5py.File, folder: Path) -> None:
    """Be a group where a map should be."""
    del file[f"{_E01}/maps/sigma"]
    file.create_group(f"{_E01}/maps/sigma")


def name_that_turns(file: h5py.File, folder: Path) -> None:
    """Be called by letters that turn a line around."""
    file[f"{_E01}/masks/\u202egnp.70mac"] = np.zeros(4, "u1")


def name_that_climbs(file: h5py.File, folder: Path) -> None:
    """Be a capture called as a folder above."""
    file.copy(file[_E01], "captures/..\\..\\x")


def name_without_end(file: h5py.File, folder: Path) -> None:
    """Be called by sixty thousand letters."""
    file["captures"].create_group("n" * 60_000)


def long_attribute(file: h5py.File, folder: Path) -> None:
    """Tell more than an attribute may."""
    file[_E01].attrs["stages_json"] = "x" * 100_000


def reference_attribute(file: h5py.File, folder: Path) -> None:
    """Hold a reference as an attribute."""
    file.attrs["other"] = file["captures"].ref


def wide_attribute(file: h5py.File, folder: Path) -> None:
    """Hold an array as an attribute."""
    file[_E01].attrs["license"] = np.zeros(8000)


def many_attributes(file: h5py.File, folder: Path) -> None:
    """Have two hundred attributes."""
    for i in range(200):
        file.attrs[f"a{i}"] = i


def deep(file: h5py.File, folder: Path) -> None:
    """Nest groups three thousand deep."""
    file.create_group("captures/" + "/".join("g" * 3000))


def crowd_of_captures(file: h5py.File, folder: Path) -> None:
    """Hold a hundred thousand captures."""
    _crowd(file["captures"].id, _MANY)


def crowd_of_maps(file: h5py.File, folder: Path) -> None:
    """Hold a hundred thousand groups within a capture."""
    _crowd(file[f"{_E01}/maps"].id, _MANY)


def crowd_spread_out(file: h5py.File, folder: Path) -> None:
    """Hold as many objects, a hundred in each of many groups."""
    for i in range(250):
        _crowd(h5py.h5g.create(file["captures"].id, f"c{i:03d}".encode()), 100)


def _crowd(group: Any, count: int) -> None:
    for i in range(count):
        h5py.h5g.create(group, f"g{i}".encode())


def _secret(folder: Path) -> str:
    path = folder / "secret.txt"
    path.write_bytes(b"s" * 64)
    return str(path)


OF_DATASETS: tuple[Fill, ...] = (
    raw_storage, raw_storage_of_the_machine, raw_storage_beside, virtual, virtual_beside,
    huge_claim, overflowing_claim, claim_that_wraps, huge_chunk, unstored, gzip_bomb,
    chunk_that_unfolds, objects, regions, variable_length, texts, compound, opaque,
    arrays_in_arrays, complex_numbers, foreign_filter, filter_of_a_plugin, scaled_integers,
    no_shape,
)  # fmt: skip
"""Of which one dataset is enough to tell: the audit of a single one refuses them, too."""
AUDITED: tuple[Fill, ...] = (
    external_link, link_to_a_group_elsewhere, link_beside, link_to_itself, soft_link,
    dangling_link, chain_of_links, cycle, cycle_to_the_root, soft_cycle, two_soft_links, twice,
    *OF_DATASETS, virtual_of_itself, tiny_chunks, named_type, long_attribute, reference_attribute,
    wide_attribute, many_attributes, many_dimensions, name_without_end, name_that_turns, deep,
)  # fmt: skip
"""That the audit refuses, by the name of what is wrong."""
UNFORMED: tuple[Fill, ...] = (
    data_for_captures, group_for_data, name_that_climbs,
)  # fmt: skip
"""That are plain HDF5, and are refused by the tables of the format."""
CROWDED: tuple[Fill, ...] = (crowd_of_captures, crowd_of_maps, crowd_spread_out)
"""Of more objects than any dataset has."""
ALL: tuple[Fill, ...] = (*AUDITED, *UNFORMED, *CROWDED)


def make_other(folder: Path) -> None:
    """Write the file in a folder that links of a hostile one lead to."""
    with h5py.File(folder / "other.h5", "w") as other:
        other["secret"] = np.zeros(64, np.uint8)
