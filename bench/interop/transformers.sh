#!/bin/sh
# Compares Nibble with Hugging Face's transformers, in both directions, on the text of docs/:
#
#   - small models trained by the command line are exported, and transformers load the folders: nothing may be missing or left over,
#     tokens must be the same, logits within 1e-4, and the most probable tokens those of nibble generate;
#   - small models that transformers made are read with model.weights, and give the same logits here.
#
#   bench/interop/transformers.sh [ENCODER]
#
#   ENCODER   the folder of a real encoder, model.onnx or model.safetensors beside tokenizer.json: its export is compared, too
#   PYTHON    a python3 with torch, transformers, safetensors and numpy (default: python3)
#
# Files go to target/interop. Exit status: 0, or 1 if anything differs.
set -eu
root=$(CDPATH='' cd -P "$(dirname "$0")/../.." && pwd -P)
cd "$root"
. "$root/.mvn/find-jdk.sh"
python=${PYTHON:-python3}
work=$root/target/interop
rm -rf "$work"
mkdir -p "$work"
export HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1

./mvnw -q -B -ntp -Dspotless.check.skip=true -DskipTests package -pl bench -am
"$python" bench/interop/transformers_check.py make "$work" docs

# The first argument names the run; the others are those of nibble train.
train() {
  run=$work/$1
  shift
  ./nibble train "$@" --quantizer fp32 --quiet --out "$run" >"$run.log" 2>&1 || {
    cat "$run.log"
    exit 1
  }
  "$JAVA_HOME/bin/java" --add-modules jdk.incubator.vector --enable-native-access=ALL-UNNAMED \
    -cp "bench/target/test-classes:bench/target/app/lib/*" dev.nibble.interop.Logits \
    "$run" "$work/texts.txt" "$run.safetensors" 2>>"$run.log"
}

# What is compared at the end: the run, the kind of model, and the folder that transformers load. A language model goes on with a text, too.
compare() {
  printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$work/compare.tsv"
  if [ "$2" = text ]; then
    ./nibble generate "$work/$1" --prompt 'The model ' --tokens 24 --temperature 0 --json >"$work/$1.json" 2>>"$work/$1.log"
  fi
}

exported() {
  ./nibble export "$work/$1" --out "$work/$1-hf" --quiet >>"$work/$1.log" 2>&1
  compare "$1" "$2" "$work/$1-hf"
}

text="--data docs --set model.width=64 --set model.heads=4 --set model.layers=2 --set data.sequence=64 --steps 60"
encoder="--set model.width=64 --set model.heads=4 --set data.sequence=96 --steps 20"
# shellcheck disable=SC2086 # the settings are meant to be split
{
  train llama-bytes $text
  exported llama-bytes text
  train llama-bpe $text --set model.tokenizer="$work/bpe/tokenizer.json" --set model.tiedHead=true
  exported llama-bpe text
  train gpt2-bytes $text --set model.style=gpt2
  exported gpt2-bytes text
  train gpt2-bpe-exact $text --set model.style=gpt2 --set model.gelu=exact --set model.tokenizer="$work/bpe/tokenizer.json"
  exported gpt2-bpe-exact text
  train classify-bytes classify --data "$work/lines.csv" $encoder
  exported classify-bytes classify
  train tag-bytes tag --data "$work/words.conll" --set data.classes=3 $encoder
  exported tag-bytes tag
}

# A step that changes nothing: 1 + 1e-30 is 1 in FP32.
still="--steps 1 --set train.learningRate=1e-30"
# shellcheck disable=SC2086
{
  train from-bert classify --data "$work/lines.csv" --set model.weights="$work/bert/model.safetensors" $still
  compare from-bert classify "$work/bert"
  train from-bert-tags tag --data "$work/words.conll" --set data.classes=3 --set model.weights="$work/bert-tags/model.safetensors" $still
  compare from-bert-tags tag "$work/bert-tags"
  exported from-bert-tags tag
  for style in llama gpt2; do
    train "from-$style" --data docs --set model.style="$style" --set model.weights="$work/$style/model.safetensors" \
      --set model.tokenizer="$work/bpe/tokenizer.json" --set model.width=64 --set model.heads=4 --set model.layers=2 \
      --set model.hidden=160 --set data.sequence=64 $still
    compare "from-$style" text "$work/$style"
  done
  if [ $# -gt 0 ]; then
    for weights in "$1"/*.onnx "$1"/*.safetensors; do
      if [ -f "$weights" ]; then
        train encoder classify --data "$work/lines.csv" --set model.weights="$weights" $still
        exported encoder classify
        break
      fi
    done
  fi
}
"$python" bench/interop/transformers_check.py compare "$work"
