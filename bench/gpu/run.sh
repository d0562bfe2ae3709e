#!/bin/sh
# Tests the CUDA backend on a machine with an NVIDIA GPU, which needs neither Java nor Maven: a bundle carries both.
#
#   bench/gpu/run.sh bundle [FILE]   makes the bundle (default target/nibble-gpu.tar.xz): a Java runtime, jars, kernels, tests
#   bench/gpu/run.sh [FILE]          unpacks it and runs everything: parity, the same with checked memory, kernels through the
#                                    driver's compiler, one command; makes the bundle first if it is not there and Java is
#   bench/gpu/run.sh --only NAME [FILE]   runs one part alone: parity, memory, ptx, sanitizer, command
#
# Results go to $OUT, or target/gpu-results. Exit status: 0, or 1 if any part failed; each says so in the last lines.
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
    parity | memory | ptx | sanitizer | command) shift 2 ;;
    *)
      echo "run.sh: '$part' is none of parity, memory, ptx, sanitizer, command" >&2
      exit 2
      ;;
  esac
fi

bundle() {
  file=$1
  . "$root/.mvn/find-jdk.sh"
  folder=$root/target/gpu-bundle
  rm -rf "$folder"
  mkdir -p "$folder/lib" "$folder/test"
  ./mvnw -q -B -ntp -Dspotless.check.skip=true -DskipTests package -pl cli,backend-cuda -am
  ./mvnw -q -B -ntp dependency:copy -N -DoutputDirectory="$folder/test" \
    -Dartifact=org.junit.platform:junit-platform-console-standalone:$junit
  cp cli/target/app/lib/*.jar "$folder/lib/"
  cp testkit/target/nibble-testkit-*.jar "$folder/test/"
  cp -r backend-cuda/target/test-classes "$folder/test/classes"
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
failed=''
wrapper=''
# all but what looks at the repository
all=$(cd "$unpacked/test/classes/dev/nibble/backend/cuda" && ls -- *Tests.class | sed 's/[.]class$//' | grep -v KernelImagesTests)

# Each part writes a log, and its name to the list of those that failed.
run() {
  name=$1
  shift
  if [ "$part" != all ] && [ "$part" != "$name" ]; then
    return
  fi
  echo "run.sh: $name"
  if "$@" >"$results/$name.log" 2>&1; then
    tail -n 6 "$results/$name.log"
  else
    tail -n 60 "$results/$name.log"
    failed="$failed $name"
  fi
}

# Runs test classes, each in a JVM of its own: after a fault of a kernel the driver refuses all work of its process. No test may
# be skipped, since there is a GPU. Options for the JVM come first, then --, then the classes.
tests() {
  options=''
  while [ "$1" != -- ]; do
    options="$options $1"
    shift
  done
  shift
  status=0
  for class in "$@"; do
    # shellcheck disable=SC2086 # the options are meant to be split
    $wrapper "$java" --add-modules jdk.incubator.vector --enable-native-access=ALL-UNNAMED $options -cp "$classes" \
      org.junit.platform.console.ConsoleLauncher execute --disable-banner --disable-ansi-colors --details=tree \
      --select-class "dev.nibble.backend.cuda.$class" >"$results/last.txt" 2>&1 || status=1
    cat "$results/last.txt"
    grep -q ' 0 tests failed' "$results/last.txt" && grep -q ' 0 tests aborted' "$results/last.txt" || status=1
    [ -z "$wrapper" ] || grep -q 'ERROR SUMMARY: 0 errors' "$results/last.txt" || status=1
  done
  return $status
}

sanitizer() {
  wrapper='compute-sanitizer --tool memcheck --require-cuda-init no'
  tests -Dnibble.cuda.arena=false -- CudaCodecTests StateProgramsTests
}

# On the module path, as ./nibble starts it: JCuda finds its native library there, too.
application() {
  "$java" --enable-native-access=org.jline.nativ,dev.nibble.backend.cuda,jcuda --module-path "$unpacked/lib" \
    --module dev.nibble.cli/dev.nibble.cli.Nibble train text --backend cuda --quantizer int8-fallback --steps 3 --quiet \
    --out "$results/command"
}

nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,power.limit --format=csv 2>&1 || failed="$failed nvidia-smi"
# shellcheck disable=SC2086 # class names hold no blanks
run parity tests -- $all
# shellcheck disable=SC2086
run memory tests -Dnibble.cuda.poison=true -Dnibble.cuda.canaries=true -- $all
run ptx tests -Dnibble.cuda.images=ptx -- CudaContractTests
run command application
run sanitizer sanitizer

if [ -n "$failed" ]; then
  echo "run.sh: failed:$failed (logs in $results)"
  exit 1
fi
echo 'run.sh: everything passed'
