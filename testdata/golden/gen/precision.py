"""Float64 runs of the same code, to measure how far float32 rounding alone moves a golden value."""

import contextlib

import torch


@contextlib.contextmanager
def double():
    """Makes the upcasts to float32 inside the models go to float64. Models must be converted with .double()."""
    saved = torch.float32, torch.float, torch.Tensor.float
    torch.float32 = torch.float = torch.float64
    torch.Tensor.float = torch.Tensor.double
    try:
        yield
    finally:
        torch.float32, torch.float, torch.Tensor.float = saved


def distance(single, exact):
    """Largest absolute difference over tensors, sequences or numbers."""
    if isinstance(single, dict):
        return max(distance(single[name], exact[name]) for name in single)
    if isinstance(single, (list, tuple)):
        return max(distance(a, b) for a, b in zip(single, exact, strict=True))
    if isinstance(single, torch.Tensor):
        return (single.detach().double() - exact.detach().double()).abs().max().item()
    return abs(single - exact)
