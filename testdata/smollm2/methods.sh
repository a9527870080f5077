#!/bin/sh
# Trains SmolLM2 on SST-2 with every method, the same rows in the same order, and tests it.
#   sh testdata/smollm2/methods.sh GPUPEFT OUT [METHOD...]
# writes OUT/METHOD.json, the report of tune, and OUT/METHOD-test.json, that of eval. The data is what
# `python testdata/smollm2/sst2.py data` makes.
set -eu
gpupeft=$1 out=$2
shift 2
model=out/smollm2/model.gguf data=out/smollm2/sst2
mkdir -p "$out"
flags() {
	case $1 in
	lora) echo --target-modules q_proj,v_proj ;;
	dora) echo --target-modules q_proj,v_proj ;;
	lora-all) echo --method lora ;;
	lora-plus) echo --method lora --target-modules q_proj,v_proj --lora-plus-ratio 16 ;;
	prefix-text) echo --method prefix --prompt-init-text 'Is the sentiment of this review positive or negative?' ;;
	ptuning-lstm) echo --method ptuning --encoder lstm ;;
	esac
}
for method in ${*:-lora lora-plus lora-all dora ia3 ln-tuning prompt ptuning ptuning-lstm prefix mpt llama-adapter llama-adapter-v2 seq-bn double-seq-bn par-bn}; do
	set -- $(flags "$method")
	case "$*" in *--method*) ;; *) set -- --method "$method" "$@" ;; esac
	rm -rf "$out/$method"
	"$gpupeft" tune --model $model --data $data/train.jsonl --val-split 0 --no-shuffle --steps 100 --batch-size 8 --device cpu \
		--out "$out/$method" --quiet --json "$@" >"$out/$method.json"
	"$gpupeft" eval --model $model --data $data/test.jsonl --adapter "$out/$method" --device cpu --quiet --json >"$out/$method-test.json"
done
