// Package interp looks inside a model: at its activations, under the names and in the
// shapes of TransformerLens; at what changing them does; and at what each attention head
// is for. Everything works on any base model, packed or not, with adapters in place.
//
// [Capture] runs sequences and keeps what is wanted, as run_with_cache does:
//
//	trace, err := interp.Capture(ctx, model, ids, interp.Options{Hooks: []string{"*.hook_pattern", "*.hook_z"}})
//	pattern := trace.Activations["blocks.0.attn.hook_pattern"] // Shape [batch, heads, T, T]
//
// [CaptureTo] writes it to a file instead, each tensor when it is there.
//
// Edits change activations on the way, as run_with_hooks does; what comes later follows:
//
//	o := interp.Options{Edits: []interp.Edit{{Hook: "blocks.5.attn.hook_z", Heads: interp.Of(1), Change: interp.Zero()}}}
//	ablated, err := interp.Capture(ctx, model, ids, o)
//
// and with a [Metric], such as [Loss] or [LogitDiff], the gradients at the same hooks are
// captured, behind edits, too. [Hooks] lists the names. What TransformerLens' names mean:
//
//	hook_embed, hook_pos_embed                        embeddings of tokens, and learned ones of positions (toys)
//	hook_resid_pre, hook_resid_mid, hook_resid_post   the stream before, within and after a layer
//	hook_attn_out, hook_mlp_out                       what is added to it
//	ln1.hook_scale, ln1.hook_normalized               the norm's divisor, and its result before the weight
//	attn.hook_q, hook_k, hook_v                       before the rotary embedding; k and v by key head
//	attn.hook_rot_q, hook_rot_k                       after it
//	attn.hook_attn_scores, hook_pattern               masked scores, and their softmax [batch, heads, T, T]
//	attn.hook_z                                       what each head has gathered, before the output matrix
//	mlp.hook_pre, hook_pre_linear, hook_post          gate, up projection, their product behind the activation
//	ln_final.…, unembed.hook_in, unembed.hook_out     the end; logits before a soft-cap
//
// A few more are those of TransformerBridge: ln1.hook_out (behind the weight), attn.hook_out
// and mlp.hook_out (the output matrices, before Gemma 2's norms).
//
// Heads are scored by their patterns ([Patterns]: previous token, induction, …, in one pass
// that never holds a pattern), by their weights ([Copying], [Composition]), by what they add
// to logits ([Direct]), and by what happens without them ([Ablation], [AttributionPatch]);
// [InspectHeads] does all. [Sweep] runs any list of edits. [LogitLens] and [TunedLens] say what
// each layer would predict, [Edges] which ways through the model matter. Of models with a small
// vocabulary, [FullCircuits] and [KeyCircuit] write a head's part out as tables of token by token.
//
// [CompareTuned] says what adapters change: all scores, how far the layers come apart
// ([LensDivergence]), the attention to a soft prompt ([PromptAttention]); a LoRA's change of
// weights is taken apart by [SingularDirections].
//
// Sets of heads, layers and positions are bit sets, made by [Of] or [ParseSet]; nil is the
// set of all. Heads of hook_k and hook_v are key heads, several query heads reading each:
// see [KVHead].
//
// Errors wrap the sentinels of packages transformer and tensor. Results hold plain slices
// and own no memory of the backend. All functions are safe for concurrent use.
package interp
