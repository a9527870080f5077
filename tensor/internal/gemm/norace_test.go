//go:build !race

package gemm

// raceDetector tells whether the test runs under the race detector.
const raceDetector = false
