# Sourced by mvnw and nibble (POSIX sh). Sets and exports JAVA_HOME to a JDK 25 or newer, or says where it looked and
# exits with status 3.
#
# It runs no JVM: a JDK's "release" file names its version, and the launcher starts faster for it.

# Prints the feature version (25) of the JDK in directory $1; fails where there is no JDK with a compiler.
nibble_jdk_version() {
  [ -x "$1/bin/java" ] && [ -x "$1/bin/javac" ] && [ -r "$1/release" ] || return 1
  nibble_version=$(sed -n 's/^JAVA_VERSION="\{0,1\}\([0-9][0-9]*\).*/\1/p' "$1/release")
  [ -n "$nibble_version" ] || return 1
  printf '%s\n' "$nibble_version"
}

# Prints the home of the java command on PATH; fails where there is none.
nibble_java_on_path() {
  nibble_link=$(command -v java) || return 1
  # Not readlink -f, which older systems lack. A chain this long is a loop.
  for nibble_hop in 1 2 3 4 5 6 7 8 9 10 11 12; do
    [ -L "$nibble_link" ] || break
    nibble_target=$(readlink "$nibble_link") || return 1
    case $nibble_target in
      /*) nibble_link=$nibble_target ;;
      *) nibble_link=$(dirname "$nibble_link")/$nibble_target ;;
    esac
  done
  nibble_bin=$(CDPATH='' cd -P "$(dirname "$nibble_link")" 2>/dev/null && pwd -P) || return 1
  dirname "$nibble_bin"
}

# Prints the chosen JDK home. Runs in a subshell, so it may change shell options: mvnw sources this with set -f.
nibble_find_jdk() {
  set +f
  if [ -n "${NIBBLE_JAVA_HOME-}" ]; then
    nibble_version=$(nibble_jdk_version "$NIBBLE_JAVA_HOME") || {
      echo "nibble: NIBBLE_JAVA_HOME is '$NIBBLE_JAVA_HOME', but must be the home of a JDK 25 or newer (no JDK is there)" >&2
      return 3
    }
    [ "$nibble_version" -ge 25 ] || {
      echo "nibble: NIBBLE_JAVA_HOME is '$NIBBLE_JAVA_HOME', a JDK $nibble_version, but must be a JDK 25 or newer" >&2
      return 3
    }
    printf '%s\n' "$NIBBLE_JAVA_HOME"
    return 0
  fi

  for nibble_home in "${JAVA_HOME-}" "$(nibble_java_on_path)"; do
    [ -n "$nibble_home" ] || continue
    nibble_version=$(nibble_jdk_version "$nibble_home") || continue
    [ "$nibble_version" -lt 25 ] || {
      printf '%s\n' "$nibble_home"
      return 0
    }
  done

  # The lowest that will do: it is the one this project is tested on.
  nibble_best='' nibble_best_version=0
  for nibble_home in /usr/lib/jvm/* /opt/*jdk* /opt/java/* "${HOME-}"/.sdkman/candidates/java/* "${HOME-}"/.jdks/* \
    /Library/Java/JavaVirtualMachines/*/Contents/Home; do
    nibble_version=$(nibble_jdk_version "$nibble_home") || continue
    [ "$nibble_version" -ge 25 ] || continue
    if [ -z "$nibble_best" ] || [ "$nibble_version" -lt "$nibble_best_version" ]; then
      nibble_best=$nibble_home nibble_best_version=$nibble_version
    fi
  done
  [ -n "$nibble_best" ] || {
    echo "nibble: no JDK 25 or newer found in NIBBLE_JAVA_HOME, JAVA_HOME, PATH, /usr/lib/jvm, /opt, ~/.sdkman, ~/.jdks or /Library/Java; install one, or set NIBBLE_JAVA_HOME to its home" >&2
    return 3
  }
  printf '%s\n' "$nibble_best"
}

JAVA_HOME=$(nibble_find_jdk) || exit 3
export JAVA_HOME
# Maven's own script prefers JAVACMD to JAVA_HOME.
unset JAVACMD
