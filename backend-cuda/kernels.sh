#!/bin/sh
# Puts the compiled kernels beside the classes. Called by the build in this folder; by hand:
#
#   kernels.sh pack      what the build does: packs the compiled kernels of src/main/kernels if they are those of the present
#                        sources, or if there is no nvcc; else compiles
#   kernels.sh compile   compiles what has changed since src/main/kernels was recorded, into target/kernels
#   kernels.sh record    compiles, and replaces src/main/kernels: after changes of src/main/cuda, before they are committed
#   kernels.sh hash      prints the hash of the sources
#
#   NIBBLE_CUDA_ARCHITECTURES   which to compile (default: all, "sm_90a sm_89 sm_80 compute_89 compute_80"): machine code, and
#                               intermediate forms that the driver compiles for what is newer
#   NIBBLE_NVCC                 the compiler (default: nvcc on the PATH, then /usr/local/cuda/bin/nvcc)
set -eu
cd "$(dirname "$0")"

sources=src/main/cuda
recorded=src/main/kernels
compiled=target/kernels
known=target/kernels-recorded # unpacked, with the keys of what they were compiled from
packed=target/classes/dev/nibble/backend/cuda/kernels
jobs=$(nproc 2>/dev/null || echo 2)

# Sums keep the order of the plain code: nothing is contracted, flushed or approximated.
flags='-O3 --fmad=false -prec-div=true -prec-sqrt=true -ftz=false -std=c++17 -I src/main/cuda'

every='sm_90a sm_89 sm_80 compute_89 compute_80'
architectures=${NIBBLE_CUDA_ARCHITECTURES:-$every}
for name in $architectures; do
  case " $every " in
    *" $name "*) ;;
    *)
      echo "kernels.sh: NIBBLE_CUDA_ARCHITECTURES names '$name', which is none of $every" >&2
      exit 2
      ;;
  esac
done

nvcc=${NIBBLE_NVCC:-$(command -v nvcc || true)}
if [ -z "$nvcc" ] && [ -x /usr/local/cuda/bin/nvcc ]; then
  nvcc=/usr/local/cuda/bin/nvcc
fi

# Over names and contents, in the C locale's order.
hash_of() {
  (cd "$sources" && LC_ALL=C sha256sum "$@") | sha256sum | cut -d ' ' -f 1
}

source_hash() {
  # shellcheck disable=SC2046 # file names hold no blanks
  hash_of $(cd "$sources" && LC_ALL=C ls -- *.cu *.cuh)
}

# What a file is compiled from: itself, and each header that it reaches.
headers_of() {
  found=''
  queue=$1
  while [ -n "$queue" ]; do
    next=''
    for file in $queue; do
      for header in $(sed -n 's/^#include "\(.*\)".*/\1/p' "$sources/$file"); do
        case " $found " in
          *" $header "*) ;;
          *) found="$found $header" next="$next $header" ;;
        esac
      done
    done
    queue=$next
  done
  echo "$found"
}

# A file whose name ends in _sm90a uses what no other architecture has; in _sm89, what older ones lack, and sm_90a has better.
wanted() {
  case $1 in
    *_sm90a.cu) [ "$2" = sm_90a ] ;;
    *_sm89.cu) [ "${2#*_}" = 89 ] ;;
    *) true ;;
  esac
}

# Takes what was recorded of the same sources, and prints what is left to compile, one command a line: source, architecture, kind,
# output and key.
plan() {
  for file in $(cd "$sources" && ls -- *.cu); do
    # shellcheck disable=SC2046
    key=$(hash_of "$file" $(headers_of "$file"))
    for architecture in $architectures; do
      if wanted "$file" "$architecture"; then
        case $architecture in
          compute_*) kind=ptx ;;
          *) kind=cubin ;;
        esac
        name=$architecture/${file%.cu}.$kind
        if [ -f "$compiled/$name" ] && [ "$(cat "$compiled/$name.key" 2>/dev/null)" = "$key $flags" ]; then
          :
        elif [ "$(cat "$known/$name.key" 2>/dev/null)" = "$key $flags" ]; then
          cp -p "$known/$name" "$known/$name.key" "$compiled/$architecture/"
        else
          echo "$file $architecture $kind $compiled/$name $key"
        fi
      fi
    done
  done
}

compile_one() {
  # shellcheck disable=SC2086 # the flags are meant to be split
  "$nvcc" -arch="$2" "-$3" $flags -o "$4.new" "$sources/$1" || return 255
  mv "$4.new" "$4"
  echo "$5 $flags" >"$4.key"
}

compile() {
  if [ -z "$nvcc" ]; then
    echo 'kernels.sh: no nvcc was found; install the CUDA toolkit 13, or set NIBBLE_NVCC' >&2
    exit 1
  fi
  for architecture in $architectures; do
    mkdir -p "$compiled/$architecture"
  done
  if ! cmp -s "$recorded/sources.sha256" "$known/sources.sha256"; then
    unpack "$known"
    cp "$recorded/sources.sha256" "$known/"
  fi
  plan | xargs -r -P "$jobs" -L 1 ./kernels.sh one
  # what a source was deleted for
  for out in "$compiled"/*/*.ptx "$compiled"/*/*.cubin; do
    name=${out##*/}
    if [ -f "$out" ] && [ ! -f "$sources/${name%.*}.cu" ]; then
      rm -f "$out" "$out.key"
    fi
  done
}

# What was compiled for another architecture some time ago stays behind. Further arguments: endings of names that are copied, too.
copy() {
  from=$1
  to=$2
  shift 2
  rm -rf "$to"
  for architecture in $architectures; do
    mkdir -p "$to/$architecture"
    for end in ptx cubin "$@"; do
      for file in "$from/$architecture"/*."$end"; do
        [ ! -f "$file" ] || cp -p "$file" "$to/$architecture/"
      done
    done
  done
}

# Unpacks what was recorded. Further arguments: tar's.
unpack() {
  to=$1
  shift
  rm -rf "$to"
  mkdir -p "$to"
  tar -xJf "$recorded/kernels.tar.xz" -C "$to" "$@"
}

pack() {
  if [ "$(cat "$recorded/sources.sha256" 2>/dev/null)" = "$(source_hash)" ] && [ -z "${NIBBLE_CUDA_ARCHITECTURES:-}" ]; then
    [ -n "$nvcc" ] || echo 'kernels.sh: no nvcc was found, so the recorded kernels are packed, which are those of the present sources'
    unpack "$packed" --exclude='*.key'
  elif [ -n "$nvcc" ]; then
    compile
    copy "$compiled" "$packed"
  else
    echo 'kernels.sh: no nvcc was found, so the recorded kernels are packed, which are not those of the present sources' >&2
    unpack "$packed" --exclude='*.key'
  fi
}

# The archive is a function of the kernels alone: no times, no owners.
record() {
  if [ -n "${NIBBLE_CUDA_ARCHITECTURES:-}" ]; then
    echo 'kernels.sh: the archive holds all architectures: record without NIBBLE_CUDA_ARCHITECTURES' >&2
    exit 2
  fi
  compile
  staged=target/recorded
  copy "$compiled" "$staged" key
  mkdir -p "$recorded"
  (cd "$staged" && tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -c -- *) | xz -9e >"$recorded/kernels.tar.xz"
  source_hash >"$recorded/sources.sha256"
  du -sh "$recorded"
}

case ${1:-pack} in
  one)
    shift
    compile_one "$@"
    ;;
  pack) pack ;;
  compile) compile ;;
  record) record ;;
  hash) source_hash ;;
  *)
    echo "kernels.sh: '$1' is none of pack, compile, record, hash" >&2
    exit 2
    ;;
esac
