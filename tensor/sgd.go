package tensor

// Gradient descent with momentum and coupled weight decay, as torch.optim.SGD computes
// it without dampening and Nesterov. With g = Clip[1]·Grad + WeightDecay·Param:
//
//	M = Momentum·M + g
//	Param −= LR·M

// SGD updates parameters in place.
type SGD struct {
	Param, M    *Tensor // same number of values
	Grad        *Tensor
	Clip        *Tensor // [2], from ClipNorm
	LR          float32
	Momentum    float32
	WeightDecay float32
}

// Name implements Op.
func (SGD) Name() string { return "sgd" }

// Operands implements Op.
func (o SGD) Operands() []Operand {
	return []Operand{update("Param", o.Param), update("M", o.M), in("Grad", o.Grad), in("Clip", o.Clip)}
}

// Check implements Op.
func (o SGD) Check() error {
	n, d := lead(o.Param)
	return first(wantBeta("Momentum", o.Momentum),
		want("Param", o.Param, F32, n, d), want("M", o.M, F32, n, d), want("Grad", o.Grad, F32, n, d), want("Clip", o.Clip, F32, 2))
}

// Flops implements Op.
func (o SGD) Flops() float64 { return 7 * float64(o.Param.Len()) }
