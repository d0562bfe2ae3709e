#!/bin/sh
# Compiles the native library and notes its SHA-256: build.sh COMPILER FOLDER. Does nothing where the library is newer than
# its sources. Each source says for itself which instructions it may use, so there is one library for all processors.
set -eu
sources=$(CDPATH='' cd -P "$(dirname "$0")" && pwd -P)
folder=$2
library=$folder/libnibblecpu.so
if [ -f "$library.sha256" ] && [ -z "$(find "$sources" -newer "$library.sha256" -print | head -n 1)" ]; then
  exit 0
fi
mkdir -p "$folder"
# No contraction and no fast maths: results must have the bits of the plain code. No vectorizer: it slows the hand-written loops.
"$1" -std=c11 -O2 -fno-tree-vectorize -mprefer-vector-width=512 -ffp-contract=off -fPIC -shared -Wall -Wextra -Werror \
  -Wl,--build-id=none -o "$library" "$sources"/*.c
sum=$(sha256sum "$library")
printf '%s\n' "${sum%% *}" >"$library.sha256"
