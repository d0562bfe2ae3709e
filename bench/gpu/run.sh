#!/bin/sh
# Tests the CUDA backend on a machine with an NVIDIA GPU, which needs neither Java nor Maven: a bundle carries both.
#
#   bench/gpu/run.sh bundle [FILE]   makes the bundle (default target/nibble-gpu.tar.xz): a Java runtime, jars, kernels, tests
#   bench/gpu/run.sh [FILE]          unpacks it and runs everything; makes the bundle first if it is not there and Java is
#   bench/gpu/run.sh --only NAME [FILE]   runs one part alone:
#
#     parity       the tests of the backend
#     memory       the same with poisoned memory and bytes behind each tensor that nobody may write
#     ptx          the backend's contract, and products of floats, with kernels that the driver compiles, of each intermediate form
#     conformance  every quantizer: steps compared with the CPU's operation by operation, losses, options, faults
#     sanitizer    memcheck, racecheck and synccheck of all kernels on small shapes
#     command      one command, started as ./nibble does
#     benchmarks   times and ratios
#
# The benchmarks compare with PyTorch where a python3 has it (else there are no ratios), and write benchmarks.md and
# benchmarks.json, which belong into bench/results/<device>; they fail if a product, a pass of attention or a step misses its floor, and
# mark rows of quantization that do.
#
# Results go to $OUT, or target/gpu-results; proof.md among them tells what ran, and belongs into bench/results/<device>, too. Exit
# status: 0, or 1 if any part failed; each says so in the last lines.
set -eu
root=$(CDPATH='' cd -P "$(dirname "$0")/../.." && pwd -P)
cd "$root"

limit=67108864 # bytes of a bundle: 64 MiB
junit=1.14.4
results=${OUT:-$root/target/gpu-results}
unpacked=${TMPDIR:-/tmp}/nibble-gpu.$$
part=all
if [ "${1:-}" = --only ]; then
  part=${2:-}
  case $part in
    parity | memory | ptx | conformance | sanitizer | command | benchmarks) shift 2 ;;
    *)
      echo "run.sh: '$part' is none of parity, memory, ptx, conformance, sanitizer, command, benchmarks" >&2
      exit 2
      ;;
  esac
fi

# Stores what is in a jar as it is, since files that are compressed together take much less; without the native libraries of a jar of
# which nothing runs here but the command line asks for its module.
store() {
  content=$root/target/gpu-jar
  rm -rf "$content"
  mkdir -p "$content"
  (cd "$content" && "$JAVA_HOME/bin/jar" -xf "$1")
  mv "$content/META-INF/MANIFEST.MF" "$root/target/gpu-jar.manifest"
  case $1 in
    */tokenizers-*) rm -rf "$content/native" ;;
  esac
  "$JAVA_HOME/bin/jar" -c0fm "$1" "$root/target/gpu-jar.manifest" -C "$content" .
  rm -rf "$content" "$root/target/gpu-jar.manifest"
}

bundle() {
  file=$1
  . "$root/.mvn/find-jdk.sh"
  folder=$root/target/gpu-bundle
  rm -rf "$folder"
  mkdir -p "$folder/lib" "$folder/test"
  ./mvnw -q -B -ntp -Dspotless.check.skip=true -DskipTests package -pl cli,backend-cuda,bench -am
  ./mvnw -q -B -ntp dependency:copy -N -DoutputDirectory="$folder/test" \
    -Dartifact=org.junit.platform:junit-platform-console-standalone:$junit
  cp cli/target/app/lib/*.jar "$folder/lib/"
  cp testkit/target/nibble-testkit-*.jar "$folder/test/"
  for jar in "$folder"/lib/*.jar "$folder"/test/*.jar; do
    store "$jar"
  done
  cp -r backend-cuda/target/test-classes "$folder/test/classes"
  mkdir -p "$folder/test/classes/dev/nibble"
  cp -r bench/target/test-classes/dev/nibble/conformance "$folder/test/classes/dev/nibble/"
  ls backend-cuda/target/classes/dev/nibble/backend/cuda/kernels >"$folder/architectures"
  cp bench/gpu/torch_baselines.py "$folder/"
  backend-cuda/kernels.sh hash >"$folder/sources.sha256"
  "$JAVA_HOME/bin/jlink" --output "$folder/jre" --strip-debug --no-header-files --no-man-pages --compress zip-0 \
    --add-modules java.base,java.logging,java.management,jdk.incubator.vector,jdk.unsupported
  mkdir -p "$(dirname "$file")"
  tar -C "$folder" -cf - . | xz -6 >"$file"
  bytes=$(wc -c <"$file")
  if [ "$bytes" -gt "$limit" ]; then
    echo "run.sh: $file has $bytes bytes, but at most $limit can be carried" >&2
    exit 1
  fi
  echo "run.sh: $file, $bytes bytes"
}

if [ "${1:-}" = bundle ]; then
  bundle "${2:-$root/target/nibble-gpu.tar.xz}"
  exit
fi

file=${1:-$root/target/nibble-gpu.tar.xz}
[ -f "$file" ] || bundle "$file"
mkdir -p "$unpacked" "$results"
trap 'rm -rf "$unpacked"' EXIT
tar -C "$unpacked" -xJf "$file"
java=$unpacked/jre/bin/java
classes=$unpacked/test/classes:$(find "$unpacked/lib" "$unpacked/test" -name '*.jar' | tr '\n' ':')
backend=dev.nibble.backend.cuda
failed=''
wrapper=''
# all but what looks at the repository, the longest first
long='CudaGemmTests CudaHalfProductTests CudaFp8CodeTests CudaQuantizeTests CudaQuantizeExtentTests CudaQuantizeLaunchTests CudaContractTests CudaRepeatTests LaunchTapeTests'
all="$long $(cd "$unpacked/test/classes/dev/nibble/backend/cuda" && ls -- *Tests.class | sed 's/[.]class$//' |
  grep -v -x -e KernelImagesTests $(printf -- '-e %s ' $long))"

# Each part writes a log, and its name to the list of those that failed.
run() {
  name=$1
  shift
  if [ "$part" != all ] && [ "$part" != "$name" ]; then
    return
  fi
  echo "run.sh: $name"
  verdict=passed
  began=$(date +%s)
  if "$@" >"$results/$name.log" 2>&1; then
    tail -n 6 "$results/$name.log"
  else
    verdict=FAILED
    grep -e '✘' -e '=> ' -e '^=========  *\(Error\|Invalid\|Barrier\|Race\)' "$results/$name.log" | cut -c 1-400 | head -n 40
    tail -n 20 "$results/$name.log"
    failed="$failed $name"
  fi
  tests=$(awk '/^\[ .* tests successful/ { passed += $2 } /^\[ .* tests failed/ { lost += $2 } END { print passed + 0 " | " lost + 0 }' \
    "$results/$name.log")
  echo "| $name | $verdict | $tests | $(($(date +%s) - began)) |" >>"$results/proof.md"
}

# What ran here, of which sources: a page for bench/results/<device>.
proof() {
  cat >"$results/proof.md" <<EOF
# What ran on the GPU

What each part proves stands in docs/gpu-proof.md. A test counts once in each part that runs it; \`command\` and \`benchmarks\` have none.

- command: \`bench/gpu/run.sh\`
- device: $device
- date: $(date +%F)
- SHA-256 of backend-cuda/src/main/cuda: $(cat "$unpacked/sources.sha256")

| part | result | tests passed | failed | seconds |
|---|---|---|---|---|
EOF
}

# Runs tests in a JVM of their own: after a fault of a kernel the driver refuses all work of its process. No test may be skipped,
# since there is a GPU. First the log, then options for the JVM, then --, then what JUnit's launcher selects.
launch() {
  log=$1
  shift
  options=''
  while [ "$1" != -- ]; do
    options="$options $1"
    shift
  done
  shift
  status=0
  # shellcheck disable=SC2086 # the options are meant to be split
  $wrapper "$java" --add-modules jdk.incubator.vector --enable-native-access=ALL-UNNAMED $options -cp "$classes" \
    org.junit.platform.console.ConsoleLauncher execute --disable-banner --disable-ansi-colors --details=tree "$@" \
    >"$log" 2>&1 || status=1
  grep -q ' 0 tests failed' "$log" && grep -q ' 0 tests aborted' "$log" || status=1
  [ -z "$wrapper" ] || grep -q 'SUMMARY: 0 \(errors\|hazards displayed\)' "$log" || status=1
  return $status
}

# Runs test classes side by side, six JVMs at a time; what asks for most of the memory comes last, alone. First a name for the
# logs and the package, then options for the JVM, then --, then the classes.
tests() {
  logs=$results/$1
  package=$2
  shift 2
  ways=''
  while [ "$1" != -- ]; do
    ways="$ways $1"
    shift
  done
  shift
  rm -rf "$logs"
  mkdir -p "$logs"
  started=0
  last=''
  for class in "$@"; do
    case $class in
      *Memory*Tests)
        last="$last $class"
        continue
        ;;
    esac
    while [ $((started - $(find "$logs" -name '*.done' | wc -l))) -ge 6 ]; do
      sleep 0.2
    done
    one "$class" &
    started=$((started + 1))
  done
  while [ $((started - $(find "$logs" -name '*.done' | wc -l))) -gt 0 ]; do
    sleep 0.2
  done
  for class in $last; do
    one "$class"
  done
  cat "$logs"/*.txt
  [ ! -f "$logs/failed" ] || echo "failed: $(tr '\n' ' ' <"$logs/failed")"
  [ ! -f "$logs/failed" ]
}

one() {
  # shellcheck disable=SC2086
  launch "$logs/$1.txt" $ways -- --select-class "$package.$1" || echo "$1" >>"$logs/failed"
  : >"$logs/$1.done"
}

intermediates() {
  passed=0
  for form in compute_80 compute_89; do
    if grep -q "$form" "$unpacked/architectures"; then
      tests "ptx-$form" $backend "-Dnibble.cuda.images=$form" -- CudaContractTests CudaCodecTests CudaHalfProductTests CudaFp8CodeTests ||
        passed=1
    else
      echo "run.sh: this bundle has no $form"
      passed=1
    fi
  done
  return $passed
}

# Small shapes, each tensor with an allocation of its own: an arena would hide what lies behind a tensor. Kernels with asynchronous
# copies are left to synccheck and to tests that repeat them, since racecheck does not follow the tensor memory accelerator. The
# checks run side by side. The last line tells how many of all kernels have run under memcheck.
sanitizer() {
  rm -rf "$results/kernels"
  left_out=''
  for kernel in gemm_int8 gemm_bf16 gemm_fp16 gemm_e4m3 gemm_e5m2 gemm_mma attention_bf16 cross_entropy_long_rows; do
    left_out="$left_out --kernel-name-exclude kns=$kernel"
  done
  quick=''
  for method in normalizes activates worksOnRows attends goesOnWithSequences weighsKeys measuresLosses movesAndAdds unfoldsAndFolds normalizesBatches \
    updatesWeights updatesWeightsByEveryRule movesAveragesOfWeights runsStatePrograms packsWhatIsKept transformsAndLearnsSteps absentBlocksAddNothing; do
    quick="$quick -m $backend.CudaContractTests#$method"
  done
  small="-Dnibble.cuda.arena=false -Dnibble.test.repeats=2"
  checks=''
  for check in memcheck memcheck-products racecheck synccheck; do
    (
      wrapper="compute-sanitizer --tool ${check%-products} --require-cuda-init no"
      kernels="-Dnibble.test.kernels=$results/kernels"
      passed=0
      # shellcheck disable=SC2086
      case $check in
        memcheck)
          launch "$results/$check.log" $small "$kernels" -- $quick -c $backend.CudaSweepTests || passed=1
          ;;
        memcheck-products)
          launch "$results/$check.log" $small "$kernels" -- -c $backend.CudaRepeatTests -c $backend.CudaSamplingTests \
            -m $backend.CudaContractTests#rowsNameWhatWasStored \
            -m $backend.CudaContractTests#servesAQuantizerItHasNeverHeardOf \
            -m $backend.CudaGemmTests#sampledRowsEqualThePlainCode \
            -m $backend.CudaGemmTests#drawnRowsOfManyEqualThePlainCode \
            -m "$backend.CudaNeuralTests#attentionHasTheBitsOfThePlainCode(int,int,int,int)" || passed=1
          ;;
        racecheck)
          wrapper="$wrapper $left_out"
          launch "$results/$check.log" $small -- $quick -c $backend.CudaSweepTests || passed=1
          ;;
        synccheck)
          launch "$results/$check.log" $small -- -c $backend.CudaRepeatTests || passed=1
          ;;
      esac
      exit $passed
    ) &
    checks="$checks $!"
  done
  passed=0
  for check in $checks; do
    wait "$check" || passed=1
  done
  for check in memcheck memcheck-products racecheck synccheck; do
    grep -v 'Host Frame' "$results/$check.log"
  done
  "$java" -cp "$classes" $backend.UsedKernels "$results/kernels" || passed=1
  return $passed
}

# On the module path, as ./nibble starts it: JCuda finds its native library there, too.
application() {
  "$java" --enable-native-access=org.jline.nativ,dev.nibble.backend.cuda,jcuda --module-path "$unpacked/lib" \
    --module dev.nibble.cli/dev.nibble.cli.Nibble train text --backend cuda --quantizer int8-fallback --steps 3 --quiet \
    --out "$results/command"
}

# PyTorch first, alone on the device; then ours: first the figures that have floors, the others while there is time. Each figure is
# written when it is there. NIBBLE_BENCHMARK_SECONDS limits all of it.
benchmarks() {
  limit=${NIBBLE_BENCHMARK_SECONDS:-270}
  begin=$(date +%s)
  : >"$results/torch.txt"
  if python3 -c 'import torch' 2>/dev/null; then
    timeout $((limit * 6 / 10)) python3 "$unpacked/torch_baselines.py" --seconds $((limit / 2)) >"$results/torch.txt" ||
      echo 'run.sh: PyTorch ended early'
    cat "$results/torch.txt"
  else
    echo 'run.sh: no python3 here has PyTorch, so there are no ratios'
  fi
  slow=0
  options='--add-modules jdk.incubator.vector --enable-native-access=ALL-UNNAMED'
  # shellcheck disable=SC2086 # the options are meant to be split
  "$java" $options -cp "$classes" dev.nibble.backend.cuda.QuantizeTimes "$results/quantize.txt" || slow=1
  # shellcheck disable=SC2086
  "$java" -Xmx48g $options -cp "$classes" dev.nibble.backend.cuda.Benchmarks "$results" \
    "$(cat "$unpacked/sources.sha256")" "$device" $((limit - $(date +%s) + begin - 10)) || slow=1
  return "$slow"
}

device=$(nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,clocks.max.mem,power.limit --format=csv,noheader 2>/dev/null || true)
nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,power.limit --format=csv 2>&1 || failed="$failed nvidia-smi"
proof
# shellcheck disable=SC2086 # class names hold no blanks
run parity tests parity $backend -- $all
# shellcheck disable=SC2086
run memory tests memory $backend -Dnibble.cuda.poison=true -Dnibble.cuda.canaries=true -- $all
run ptx intermediates
run conformance tests conformance dev.nibble.conformance --sun-misc-unsafe-memory-access=allow -- \
  QuantizersOnCudaTests StepReplayTests LossOnCudaTests CudaCommandTests CudaOutOfMemoryTests BackendChoiceTests \
  ForecastOnCudaTests RunsSideBySideOnCudaTests
run command application
run sanitizer sanitizer
run benchmarks benchmarks

if [ -n "$failed" ]; then
  echo "run.sh: failed:$failed (logs in $results)"
  exit 1
fi
echo 'run.sh: everything passed'
