// Package torchfile reads the tensors of files that PyTorch's torch.save has written, without Python and without
// running anything that stands in them.
//
// There are two formats, both described by PyTorch's source, torch/serialization.py (_save and _legacy_save):
//
//   - since PyTorch 1.6 a zip archive of stored entries below one folder of any name: data.pkl, a pickle of the saved
//     object; data/KEY, the bytes of each storage; byteorder, "little" or "big" (little if it is missing);
//   - before that five pickles in a row (a magic number, 1001, facts about the machine, the object, a list of storage
//     keys) and for each key an i64 number of elements and the elements.
//
// A tensor in the pickle is a call of torch._utils._rebuild_tensor_v2 with a storage, an offset, a shape and strides. A
// pickle is a program for a stack machine (https://docs.python.org/3/library/pickletools.html), and a hostile one may
// call whatever Python can import. Here the machine knows the opcodes that torch.save writes, and of all functions and
// classes only those that state dicts need, the table globals. Every other one is refused by its name before
// anything is done with it, and those that are known are not Python's, but Go functions that build descriptions.
//
// Files are taken to come from strangers in other respects too: nothing is allocated by a size that the file merely
// claims, objects, nesting and names are limited, storages must lie apart in the file and tensors within their storage.
// Errors wrap tensor.ErrFormat for broken files and tensor.ErrUnsupported for what is refused. Checksums of the zip
// entries are not verified, because torch can be told to write none.
//
// A tensor's name is the path of dict keys and list positions that leads to it, joined with "/": "model/lm_head.weight"
// in {"model": {"lm_head.weight": …}}, "lm_head.weight" in a plain state dict, "" if nothing but a tensor was saved.
// [File.Sub] takes a prefix off. What is no tensor is left out.
package torchfile
