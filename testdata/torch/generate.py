"""Writes *.pt with torch.save and expected.json: python testdata/torch/generate.py (packages: ../requirements.txt).

expected.json has for each file and each tensor's path the type, the shape and the contiguous little-endian bytes in
hex. Paths are dict keys and list positions joined with "/".
"""

import collections
import json
import pathlib

import torch

HERE = pathlib.Path(__file__).parent
NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint64: "U64", torch.uint32: "U32", torch.uint16: "U16", torch.uint8: "U8", torch.bool: "BOOL",
}


def counted(dtype, *shape):
    """Different values in every element, negative ones too where there are any."""
    n = torch.Size(shape).numel()
    values = torch.arange(n) % 2 if dtype == torch.bool else torch.arange(n) - (n // 2 if dtype.is_signed else 0)
    return values.to(dtype).reshape(shape)


def types():
    return {name: counted(dtype, 2, 3) for dtype, name in NAMES.items()}


def views():
    base = counted(torch.float32, 4, 6)
    cube = counted(torch.int16, 2, 3, 4)
    return {
        "whole": base,
        "transposed": base.t(),
        "rows": base[1:3],
        "columns": base[:, 2:5],
        "every second": base[::2, 1::2],
        "one column": base[:, 3],
        "one element": base[2, 3],
        "none of it": base[4:],
        "permuted": cube.permute(2, 0, 1),
        "middle": cube[:, 1:2, ::3].transpose(0, 2),
        "unsqueezed": base[:1].expand(1, 6)[:, None, :2],
    }


def shapes():
    return collections.OrderedDict(
        scalar=torch.tensor(1.5),
        empty=torch.zeros(0),
        none=torch.zeros(3, 0, 2, dtype=torch.float16),
        ones=torch.full((1, 1, 1, 1, 1), 7, dtype=torch.uint8),
        parameter=torch.nn.Parameter(counted(torch.float32, 3)),
        frozen=torch.nn.Parameter(counted(torch.bfloat16, 2, 2).t(), requires_grad=False),
    )


def module():
    torch.manual_seed(1)
    m = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2, bias=False))
    m[2].weight = torch.nn.Parameter(m[0].weight.t())
    return m.state_dict()


def checkpoint():
    """What trainers save beside the model."""
    weight = torch.nn.Parameter(counted(torch.float32, 2, 2))
    optimizer = torch.optim.AdamW([weight], lr=1e-3)
    weight.grad = torch.ones(2, 2)
    optimizer.step()
    return {
        "model": module(),
        "optimizer": optimizer.state_dict(),
        "step": 12, "many": 2**40, "more": -(2**80), "loss": 0.25, "done": False, "best": None, "text": "größer",
        "bytes": b"\x00\xff", "array": bytearray(b"x"), "set": {1, 2}, "complex": 1j, "tuple": (1, (2, 3), []),
        "size": torch.Size([2, 3]), "dtype": torch.float16, "device": torch.device("cuda", 1),
        "tensors": [counted(torch.int32, 2), (counted(torch.int32, 1),)],
    }


def flat(value, path=()):
    if isinstance(value, torch.Tensor):
        data = value.detach().contiguous().flatten().view(torch.uint8) if value.numel() else torch.zeros(0, dtype=torch.uint8)
        yield "/".join(path), {"dtype": NAMES[value.dtype], "shape": list(value.shape), "data": bytes(data.tolist()).hex()}
    elif isinstance(value, dict):
        for k, v in value.items():
            yield from flat(v, (*path, str(k)))
    elif isinstance(value, (list, tuple)):
        for i, v in enumerate(value):
            yield from flat(v, (*path, str(i)))


def main():
    expected = {}

    def save(name, value, **options):
        torch.save(value, HERE / name, **options)
        expected[name] = dict(flat(value))

    old = {"_use_new_zipfile_serialization": False}
    save("types.pt", types())
    save("views.pt", views())
    save("shapes.pt", shapes())
    save("module.pt", module())
    save("checkpoint.pt", checkpoint())
    save("tensor.pt", counted(torch.float32, 2, 2).t())
    save("protocol4.pt", checkpoint(), pickle_protocol=4)
    save("protocol5.pt", views(), pickle_protocol=5)
    save("legacy.pt", {"views": views(), "shapes": shapes()}, **old)
    save("legacy-checkpoint.pt", checkpoint(), **old)
    save("legacy-types.pt", types(), **old)
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
