#!/usr/bin/env bash
# Builds drystone-node for 64-bit ARM (Raspberry Pi 4 and later, with a 64-bit system) on another machine, and runs it once in an
# emulator: scripts/env.sh scripts/arm64.sh
set -euo pipefail
cd "$(dirname "$0")/.."

readonly TARGET=aarch64-unknown-linux-gnu
readonly ROOT=/usr/aarch64-linux-gnu

# The names that cargo, the cc crate and bindgen look for.
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
export CXX_aarch64_unknown_linux_gnu=aarch64-linux-gnu-g++
export AR_aarch64_unknown_linux_gnu=aarch64-linux-gnu-ar
export BINDGEN_EXTRA_CLANG_ARGS_aarch64_unknown_linux_gnu="--target=$TARGET -I$ROOT/include"
# ARM kernels have pages of 4, 16 or 64 KiB; an allocator made for small ones does not run on large ones, the other way round it does.
export JEMALLOC_SYS_WITH_LG_PAGE=16

cargo build --release --ignore-rust-version --target "$TARGET" --package drystone-storage-node --bin drystone-node

program="$CARGO_TARGET_DIR/$TARGET/release/drystone-node"
qemu=$(command -v qemu-aarch64 || command -v qemu-aarch64-static)
"$qemu" -L "$ROOT" "$program" --version
# A real piece of work: keys are made and TLS is tried. Nobody listens there, which the program must find out and say.
data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT
invite=$(cat protocol/tests/golden/v1/invite.txt)
if "$qemu" -L "$ROOT" "$program" join "$invite" --data "$data/node" --disk 1GB 2>"$data/said"; then
    echo "arm64: joined a network that does not exist" >&2
    exit 1
fi
grep -q 'no gateway could be reached' "$data/said" || { cat "$data/said" >&2; exit 1; }
[ -s "$data/node/identity.key" ] || { echo "arm64: no key was made" >&2; exit 1; }
echo "built and run: $program"
