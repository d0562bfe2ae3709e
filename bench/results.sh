#!/bin/sh
# Measures on this machine and writes the tables of bench/results/cpu: results.sh [PART...], all parts without one.
#   products  products of each format against oneDNN's FP32     portable  the same without the native library
#   layers    linear layers against FP32                        steps     whole training steps against FP32
#   quantize  quantize kernels against a copy
set -eu
root=$(CDPATH='' cd -P "$(dirname "$0")/.." && pwd -P)
. "$root/.mvn/find-jdk.sh"
lib=$root/bench/target/app/lib
[ -d "$lib" ] || (cd "$root" && ./mvnw -q -DskipTests package -pl bench -am)
out=$root/bench/results/cpu

run() {
  "$JAVA_HOME/bin/java" -XX:+UseParallelGC --add-modules jdk.incubator.vector --enable-native-access=ALL-UNNAMED \
    --sun-misc-unsafe-memory-access=allow -cp "$lib/*" "$@"
}

# part title command...: a file with the command, the date, the commit and the table
part() {
  name=$1 title=$2
  shift 2
  {
    printf '# %s\n\n- Command: `./bench/results.sh %s`\n- Date: %s. Commit: %s.\n' "$title" "$name" "$(date -u +%Y-%m-%d)" \
      "$(git -C "$root" rev-parse --short HEAD)"
    run "$@"
  } >"$out/$name.md.new"
  mv "$out/$name.md.new" "$out/$name.md"
}

[ $# -gt 0 ] || set -- products portable layers steps quantize
for wanted in "$@"; do
  case $wanted in
    products) part products 'Products' dev.nibble.cli.Nibble bench --only products --pairs 9 ;;
    portable) part portable 'Products, portable path' dev.nibble.cli.Nibble bench --only products --backend cpu-portable --pairs 9 ;;
    layers) part layers 'Linear layers' dev.nibble.cli.Nibble bench --only layers --pairs 9 ;;
    steps) part steps 'Training steps' dev.nibble.cli.Nibble bench --only steps --pairs 9 ;;
    quantize) part quantize 'Quantize kernels against a copy' dev.nibble.bench.QuantizeBenchmark ;;
    *)
      echo "no part is named $wanted; known: products, portable, layers, steps, quantize" >&2
      exit 2
      ;;
  esac
done
