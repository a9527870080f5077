package transformer_test

import (
	"testing"

	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// benchConfig has the shape of stories260K: too small for any kernel's comfort, so
// that the engine's own overhead shows.
const benchConfig = `{"model_type": "llama", "vocab_size": 512, "hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 5,
	"num_attention_heads": 8, "num_key_value_heads": 4, "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "tie_word_embeddings": true}`

func BenchmarkTrainStep(b *testing.B) {
	b.Run("cpu", func(b *testing.B) {
		be := tensor.NewCPU(0)
		defer be.Close()
		benchmarkTrainStep(b, be)
	})
	b.Run("gpu", func(b *testing.B) { benchmarkTrainStep(b, backends.GPU(b)) })
}

func benchmarkTrainStep(b *testing.B, be tensor.Backend) {
	m, err := transformer.Load(b.Context(), be, transformer.RandomCheckpoint(b, benchConfig, 1), transformer.LoadOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	prompt, err := peft.New(b.Context(), m, peft.PromptConfig{})
	if err != nil {
		b.Fatal(err)
	}
	defer prompt.Close()
	lora, err := peft.New(b.Context(), m, peft.LoRAConfig{Targets: peft.Named(peft.AllLinear)})
	if err != nil {
		b.Fatal(err)
	}
	defer lora.Close()
	const sequences, length = 8, 128
	batch := randomBatch(1, 512, length, length, length, length, length, length, length, length)
	for name, method := range map[string]peft.Method{"prompt": prompt, "lora": lora} {
		b.Run(name, func(b *testing.B) {
			r, err := m.NewRun(transformer.RunOptions{Batch: sequences, Length: length + 20, Train: true, Adapters: []transformer.Adapter{method}})
			if err != nil {
				b.Fatal(err)
			}
			defer r.Close()
			data := func(yield func([]transformer.Batch, error) bool) {
				for b.Loop() {
					if !yield([]transformer.Batch{batch}, nil) {
						return
					}
				}
			}
			for _, err := range peft.Train(b.Context(), r, method, data, peft.TrainConfig{Steps: 1 << 30, LR: 1e-3}) {
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*sequences*length)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}
