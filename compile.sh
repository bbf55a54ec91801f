#!/usr/bin/env bash
# Builds PairDB as one executable file that needs nothing installed.
#
#   bash compile.sh [--kind auto|compiled|self-extracting] [--output FILE]     (default: auto, dist/pairdb)
#
# compiled         `deno compile`. Its base is Deno's runtime for compiled programs, `denort`: taken from
#                  $DENORT_BIN, or from Deno's cache, or downloaded by Deno from its release site.
# self-extracting  for machines that cannot have denort: a shell header and a tar of the installed Deno
#                  and the bundled program. It unpacks itself once, see tools/launcher.sh.
# auto             compiled when that can be built, else self-extracting.
#
# The last line says which kind was built, and why the other was not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly DENO_VERSION=2.9.6
kind=auto
output=dist/pairdb
while [ $# -gt 0 ]; do
  case "$1" in
    --kind) kind=${2:?--kind needs auto, compiled or self-extracting}; shift 2 ;;
    --output) output=${2:?--output needs a file}; shift 2 ;;
    *) echo "compile.sh: unknown argument $1" >&2; exit 2 ;;
  esac
done

# The real Deno binary, also when `deno` on the PATH is npm's wrapper, or there is none but npx.
if command -v deno > /dev/null; then
  deno=$(deno eval 'console.log(Deno.execPath())')
else
  deno=$(npx -y "deno@$DENO_VERSION" eval 'console.log(Deno.execPath())')
fi

# What the program may do. It starts no other programs and loads no native code.
# Workers can be given less than that, for merge functions, which is an option that Deno calls unstable.
readonly PERMISSIONS=(--no-prompt --unstable-worker-options --allow-net --allow-read --allow-write --allow-env --allow-sys)
# Array buffers are most of a node's memory, and the cache and memtable sizes bound them. By default V8
# collects the whole heap, 20 ms of it, each time they have grown by a tenth: several times a second. Here it
# waits until they, or the rest, have doubled.
readonly FLAGS=("${PERMISSIONS[@]}" --v8-flags=--external-memory-max-growing-factor=2,--heap-growing-percent=100)

mkdir -p "$(dirname "$output")"
work=$(mktemp -d "$(dirname "$output")/.build.XXXXXX")
work=$(cd "$work" && pwd)
trap 'rm -rf "$work"' EXIT

# Why the compiled kind could not be built; empty when it was.
why=
build_compiled() {
  # A network that swallows packets must not hold up the build: denort is about 40 MB.
  if ! DENO_NO_UPDATE_CHECK=1 timeout 300 "$deno" compile --quiet --frozen --exclude-unused-npm \
    "${FLAGS[@]}" --app-name pairdb --output "$work/compiled" main.ts > "$work/log" 2>&1; then
    if grep -q denort "$work/log" && [ -z "${DENORT_BIN:-}" ]; then
      why="denort could not be downloaded (set DENORT_BIN, or put denort-$("$deno" eval \
        'console.log(Deno.build.target)').zip into \$DENO_DIR/dl/release/v$("$deno" eval \
        'console.log(Deno.version.deno)')/)"
    else
      why="deno compile failed: $(sed 's/\x1b\[[0-9;]*m//g' "$work/log" | grep -m1 -i error || tail -n 1 "$work/log")"
    fi
    return 1
  fi
  # `deno compile` takes any file as its base and does not notice that the product is no PairDB.
  if ! starts "$work/compiled"; then
    why="its product does not answer \`version\`${DENORT_BIN:+ (is DENORT_BIN a denort?)}"
    return 1
  fi
  mv "$work/compiled" "$output"
}

build_self_extracting() {
  rm -rf "$work/payload"
  "$deno" run --quiet -A tools/bundle.ts "$work/payload"
  cp "$deno" "$work/payload/pairdb-runtime"
  chmod 755 "$work/payload/pairdb-runtime"
  (
    cd "$work/payload"
    find . -type f | sed 's|^\./||' | LC_ALL=C sort > "$work/names"
    # The launcher takes names apart at spaces.
    if grep -q '[^A-Za-z0-9._/-]' "$work/names"; then echo "compile.sh: an odd file name" >&2; exit 1; fi
    # One line a file: CRC, size, name, as the launcher's `cksum` prints them.
    xargs cksum < "$work/names" > "$work/sums"
    # The same input gives the same file, whoever builds it and when.
    tar --format=ustar --owner=0 --group=0 --numeric-owner --mode=u+rw,go=rX --mtime=@0 \
      -cf "$work/payload.tar" -T "$work/names"
  )
  local hash
  hash=$(sha256sum "$work/payload.tar" | cut -c 1-32)
  # The header names its own length; fixed-width so that writing it in does not change it.
  awk -v hash="$hash" -v sums="$work/sums" -v flags="${FLAGS[*]}" '
    /^@SUMS@$/ { while ((getline line < sums) > 0) print line; next }
    { gsub(/@HASH@/, hash); gsub(/@FLAGS@/, flags); print }
  ' tools/launcher.sh > "$work/header"
  local length
  length=$(($(wc -c < "$work/header") + 1))
  sed "s/@START@/$(printf %07d "$length")/" "$work/header" > "$work/self"
  [ "$(($(wc -c < "$work/self") + 1))" = "$length" ] || { echo "compile.sh: the header's length moved" >&2; exit 1; }
  cat "$work/payload.tar" >> "$work/self"
  chmod 755 "$work/self"
  starts "$work/self" || { echo "compile.sh: the self-extracting executable does not answer \`version\`" >&2; exit 1; }
  mv "$work/self" "$output"
}

# Runs `version` of a product as a stranger would: no environment, an empty directory.
starts() {
  mkdir -p "$work/empty" "$work/home"
  (cd "$work/empty" && timeout 60 env -i HOME="$work/home" "$1" version < /dev/null > "$work/version" 2>&1) &&
    grep -qi pairdb "$work/version" || { cat "$work/version" >&2; return 1; }
}

size() { echo "$(($(wc -c < "$output") / 1000000)) MB"; }

case "$kind" in
  compiled)
    build_compiled || { echo "compile.sh: not built: the compiled kind: $why" >&2; exit 1; }
    echo "built $output (compiled, $(size))"
    ;;
  self-extracting)
    build_self_extracting
    echo "built $output (self-extracting, $(size)); the compiled kind was not asked for"
    ;;
  auto)
    if build_compiled; then
      echo "built $output (compiled, $(size)); the self-extracting kind is not needed where this one can be built"
    else
      build_self_extracting
      echo "built $output (self-extracting, $(size)); the compiled kind could not be built: $why"
    fi
    ;;
  *) echo "compile.sh: --kind is auto, compiled or self-extracting" >&2; exit 2 ;;
esac
