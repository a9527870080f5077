package interp

// DirectByGradient is what Direct falls back to.
var DirectByGradient = directByGradient
