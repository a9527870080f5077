"""Activations of an HF model under TransformerLens names, and the gradients of the residual stream."""

import contextlib
import sys

import torch


class Capture:
    """Records activations of one forward pass, [B, T, ...]. Everything stays attached to the graph."""

    def __init__(self, model, detail):
        self.model = model
        self.detail = detail
        self.values = {}
        self.max_score = 0.0  # largest |score| before the soft-cap
        self._handles = []

    def __enter__(self):
        for index, layer in enumerate(self.model.model.layers):
            self._residual(f"blocks.{index}.", layer)
            if index in self.detail:
                self._attention(f"blocks.{index}.attn.", layer.self_attn)
                self._mlp(f"blocks.{index}.mlp.", layer.mlp)
        self._final_norm(self.model.model.norm)
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(self._patched_attention())
        return self

    def __exit__(self, *exc):
        self._stack.close()
        for handle in self._handles:
            handle.remove()

    def _put(self, name, value):
        self.values[name] = value

    def _input(self, module, name):
        def hook(_, args, kwargs):
            self._put(name, args[0] if args else kwargs["hidden_states"])

        self._handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))

    def _output(self, module, name, heads=0):
        def hook(_, args, out):
            out = out[0] if isinstance(out, tuple) else out
            self._put(name, out.unflatten(-1, (-1, heads)) if heads else out)

        self._handles.append(module.register_forward_hook(hook))

    def _residual(self, at, layer):
        self._input(layer, at + "hook_resid_pre")
        if hasattr(layer, "pre_feedforward_layernorm"):  # Gemma 2 and 3 normalise before adding
            self._output(layer.post_attention_layernorm, at + "hook_attn_out")
            self._input(layer.pre_feedforward_layernorm, at + "hook_resid_mid")
            self._output(layer.post_feedforward_layernorm, at + "hook_mlp_out")
        else:
            self._output(layer.self_attn, at + "hook_attn_out")
            self._input(layer.post_attention_layernorm, at + "hook_resid_mid")
            self._output(layer.mlp, at + "hook_mlp_out")
        self._output(layer, at + "hook_resid_post")

    def _attention(self, at, attn):
        for name in ("q", "k", "v"):
            self._output(getattr(attn, name + "_proj"), f"{at}hook_{name}", heads=attn.head_dim)
        for name in ("q_norm", "k_norm"):
            if hasattr(attn, name):  # its input is [B, H, T, h] already
                hook = f"{at}{name}.hook_out"
                self._handles.append(
                    getattr(attn, name).register_forward_hook(
                        lambda _, args, out, hook=hook: self._put(hook, out.transpose(1, 2))
                    )
                )

    def _mlp(self, at, mlp):
        self._output(mlp.gate_proj, at + "hook_pre")
        self._output(mlp.up_proj, at + "hook_pre_linear")
        self._input(mlp.down_proj, at + "hook_post")

    def _final_norm(self, norm):
        def hook(module, args):
            eps = module.eps if hasattr(module, "eps") else module.variance_epsilon
            x = args[0]
            self._put("ln_final.hook_normalized", x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps))

        self._handles.append(norm.register_forward_pre_hook(hook))

    @contextlib.contextmanager
    def _patched_attention(self):
        """Wraps the eager attention function of the model's module, where q, k and the pattern are visible."""
        module = sys.modules[type(self.model.model.layers[0].self_attn).__module__]
        original = module.eager_attention_forward

        def recording(attn, query, key, value, mask, scaling=None, **kwargs):
            z, pattern = original(attn, query, key, value, mask, scaling=scaling, **kwargs)
            self._record_attention(attn, query, key, z, pattern, scaling)
            return z, pattern

        module.eager_attention_forward = recording
        try:
            yield
        finally:
            module.eager_attention_forward = original

    def _record_attention(self, attn, query, key, z, pattern, scaling):
        scores = query @ key.repeat_interleave(attn.num_key_value_groups, 1).transpose(2, 3) * scaling
        self.max_score = max(self.max_score, scores.detach().abs().max().item())
        if attn.layer_idx in self.detail:
            at = f"blocks.{attn.layer_idx}.attn."
            self._put(at + "hook_rot_q", query.transpose(1, 2))
            self._put(at + "hook_rot_k", key.transpose(1, 2))
            self._put(at + "hook_pattern", pattern)
            self._put(at + "hook_z", z)


def stored(name, layers, detail):
    """Whether an activation goes into the golden file, which has to stay small."""
    if not name.startswith("blocks."):
        return True
    layer, hook = int(name.split(".")[1]), name.split(".", 2)[2]
    if hook == "hook_resid_pre":
        return layer > 0  # the first is hook_embed
    if hook == "hook_resid_post":
        return layer == layers - 1  # the others are the next layer's hook_resid_pre
    if hook.startswith("mlp."):
        return layer == detail[0]
    return layer in detail
