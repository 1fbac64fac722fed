#!/usr/bin/env bash
# Runs a command in the build's environment: scripts/env.sh cargo nextest run …
#
# Everyone who builds must do so in the same environment, or cargo compiles RocksDB (ten minutes) again. What is set
# already stays as it is.
set -euo pipefail

export HOME="${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}"
cache="$HOME/.cache/drystone"

# Outside the clone, so that a second clone starts warm.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache/target}"

# The compiler's name is part of what cargo compares, so it is decided here and nowhere else.
if command -v ccache >/dev/null; then
    export CC="${CC:-ccache gcc}" CXX="${CXX:-ccache g++}"
fi

# rustup installs here and asks for a new login to put it on the path.
if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
    PATH="$HOME/.cargo/bin:$PATH"
fi

# The tests' Python with boto3 and the AWS CLI (scripts/setup.sh test), and the binaries that they drive.
export DRYSTONE_PYTHON="${DRYSTONE_PYTHON:-$cache/python/bin/python3}"
export DRYSTONE_BIN_DIR="${DRYSTONE_BIN_DIR:-$CARGO_TARGET_DIR/release}"
if [ -d "$cache/python/bin" ]; then
    PATH="$cache/python/bin:$PATH"
fi
export PATH

exec "$@"
