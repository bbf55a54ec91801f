#!/bin/sh
# PairDB, self-extracting: this header, then a tar of the Deno runtime and the bundled program.
#
# The first start unpacks the tar into a private cache directory named after its content; every start
# checks the files found there and becomes the program. Needs only sh and what every Debian has: cksum,
# id, ls, mkdir, mv, rm, tail, tar. compile.sh fills in what stands between at signs.
set -eu

hash=@HASH@
start=@START@
sums='
@SUMS@
'

# Tools are looked up in the usual places as well: the caller's PATH may be empty or cut down. The
# program itself gets the caller's PATH back.
caller_path=${PATH-}
had_path=${PATH+yes}
PATH="${PATH:+$PATH:}/usr/bin:/bin"

# The files' names, in the order they were summed.
names=$(printf '%s' "$sums" | while read -r _ _ name; do printf '%s ' "$name"; done)

# True when a directory holds every file, whole. cksum, not a cryptographic hash: it takes 20 ms
# where SHA-256 takes 600, the directory is ours alone, and damage is what it is to find.
whole() {
  # shellcheck disable=SC2086
  [ "
$(cd "$1" 2> /dev/null && cksum $names 2> /dev/null)
" = "$sums" ]
}

# True when a directory is really ours and nobody else can write to it. In a shared /tmp somebody
# else may have made it first, with their own program inside.
ours() {
  [ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ] || return 1
  case $(ls -ld "$1") in
    d????-??-*) return 0 ;;
    *) return 1 ;;
  esac
}

# Puts the files into a directory. Each goes into place by a rename, so that a start beside this one
# finds it whole or not at all; two that unpack at once put the same bytes there twice.
unpack() {
  fresh=$1/.unpack.$$
  trap 'rm -rf "$fresh"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  unpacked=no
  if rm -rf "$fresh" && mkdir "$fresh" && tail -c "+$start" "$0" | tar -xf - -C "$fresh" &&
    whole "$fresh"; then
    unpacked=yes
    for name in $names; do
      case $name in */*) mkdir -p "$1/${name%/*}" ;; esac
      mv -f "$fresh/$name" "$1/$name" || unpacked=no
    done
  fi 2> /dev/null
  rm -rf "$fresh"
  trap - EXIT INT TERM HUP
  [ "$unpacked" = yes ]
}

user=$(id -u)
tried=
for base in "${XDG_CACHE_HOME:+$XDG_CACHE_HOME/pairdb}" "${HOME:+$HOME/.cache/pairdb}" \
  "${TMPDIR:+$TMPDIR/pairdb-$user}" "/tmp/pairdb-$user"; do
  # The XDG rules want an absolute path and anything else ignored.
  case $base in /*) ;; *) continue ;; esac
  home=$base/$hash
  (umask 077 && mkdir -p "$home") 2> /dev/null || :
  if ! ours "$base" || ! ours "$home" || { ! whole "$home" && ! unpack "$home"; }; then
    tried="$tried $base"
    continue
  fi
  # A file system mounted noexec cannot serve.
  if [ ! -x "$home/pairdb-runtime" ]; then
    tried="$tried $base"
    continue
  fi
  if [ -n "$had_path" ]; then PATH=$caller_path; else unset PATH; fi
  # The program's own settings for the runtime, whatever the caller's are.
  export DENO_DIR="$home/cache" DENO_NO_UPDATE_CHECK=1 DENO_NO_PACKAGE_JSON=1
  export PAIRDB_PACKAGING=self-extracting
  # shellcheck disable=SC2093
  exec "$home/pairdb-runtime" run --no-config --no-lock --no-npm --no-remote --cached-only \
    @FLAGS@ "$home/main.js" "$@"
done

echo "error: cannot unpack pairdb: $0 is damaged, or none of these is a private, writable directory with 120 MB free where programs may run:$tried" >&2
exit 1
