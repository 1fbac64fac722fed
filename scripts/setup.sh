#!/usr/bin/env bash
# Installs what is missing: scripts/setup.sh build | test | lint | deb | arm64
#
#   build   what compiling needs
#   test    that, and what the tests need: the test runner and real S3 clients
#   lint    what checking the style needs
#   deb     what `make deb` needs: cargo-deb
#   arm64   what `make node-arm64` needs: a cross compiler and an emulator
#
# Says nothing if nothing is missing. Otherwise it says what is missing and why, then installs it: as root, or with
# sudo if sudo works here; or else it prints the command and stops. Safe to run again at any time.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly NEXTEST_VERSION=0.9.143
readonly CARGO_DEB_VERSION=3.8.0
readonly ARM64_TARGET=aarch64-unknown-linux-gnu
readonly RUST_VERSION=1.95
readonly PYTHON_DIR="$HOME/.cache/drystone/python"
readonly REQUIREMENTS=scripts/python-requirements.txt

# Debian packages to install; `needed` ones stop the set-up if they cannot be had, `wanted` ones do not.
needed=()
wanted=()

say() { printf 'setup: %s\n' "$*" >&2; }

die() {
    say "$*"
    exit 1
}

have() { command -v "$1" >/dev/null; }

need() { # package, why
    say "missing: $1 ($2)"
    needed+=("$1")
}

want() { # package, why
    say "missing: $1 ($2)"
    wanted+=("$1")
}

# bindgen loads libclang.so and reads the headers beside it, so a lone libclang1 is not enough.
have_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] && return
    compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null &&
        compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' >/dev/null
}

# A Python that can make a virtual environment; the first on the path may be one that cannot.
venv_python() {
    local python
    for python in python3 /usr/bin/python3; do
        if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    return 1
}

list_build() {
    have g++ || need g++ "compiles RocksDB"
    have make || need make "runs the Makefile"
    have_libclang || need libclang-dev "generates the bindings to RocksDB"
    have ccache || want ccache "keeps RocksDB's objects, ten minutes of compiling, for the next time"
}

list_test() {
    have rclone || need rclone "an S3 client that the tests drive"
    have restic || need restic "an S3 client that the tests drive"
    have s3cmd || need s3cmd "an S3 client that the tests drive"
    have duplicity || need duplicity "an S3 client that the tests drive"
    # It is Debian's own, with Debian's own Python.
    /usr/bin/python3 -c 'import boto3' 2>/dev/null || need python3-boto3 "how duplicity speaks S3"
    have chromium-headless-shell || have chromium || need chromium-headless-shell "the browser that uploads forms in the tests"
    # In Debian's sbin, which is not on everybody's path.
    PATH="$PATH:/usr/sbin:/sbin"
    have ip || need iproute2 "makes the network namespaces of the tests of homes"
    have nft || need nftables "translates addresses and loses packets in the tests of homes"
    python_ready || venv_python >/dev/null || need python3-venv "holds boto3 and the AWS CLI apart from the system"
}

list_deb() {
    have dpkg-deb || need dpkg "looks into the package"
    have dpkg-shlibdeps || need dpkg-dev "tells which libraries the package depends on"
}

list_arm64() {
    have aarch64-linux-gnu-g++ || need g++-aarch64-linux-gnu "compiles RocksDB for 64-bit ARM"
    have qemu-aarch64 || have qemu-aarch64-static || need qemu-user "runs what was built"
}

# Runs a command as root, or fails without asking for a password that nobody is there to type.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif have sudo && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
        sudo "$@"
    else
        return 1
    fi
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" </dev/null >&2
}

install_packages() {
    [ $((${#needed[@]} + ${#wanted[@]})) -gt 0 ] || return 0
    local command="apt-get update && apt-get install -y --no-install-recommends ${needed[*]} ${wanted[*]}"
    if ! have apt-get; then
        [ ${#needed[@]} = 0 ] && return
        die "this is no Debian; please install the like of: ${needed[*]} ${wanted[*]}"
    fi
    # An offline machine may still have the packages at hand.
    as_root apt-get update -q </dev/null >&2 || say "apt-get update did not work; trying with the lists there are"
    if [ ${#needed[@]} -gt 0 ]; then
        apt_install "${needed[@]}" || die "cannot install them; please run as root: $command"
    fi
    if [ ${#wanted[@]} -gt 0 ]; then
        apt_install "${wanted[@]}" || say "going on without: ${wanted[*]}"
    fi
}

check_rust() {
    have cargo || die "Rust is missing; please run:
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile default"
    local version
    version=$(rustc --version | cut -d' ' -f2)
    if [ "$(printf '%s\n%s\n' "$RUST_VERSION" "$version" | sort -V | head -n 1)" != "$RUST_VERSION" ]; then
        die "Rust $version is too old, $RUST_VERSION or later is needed; please run: rustup update stable"
    fi
}

check_rust_tool() { # cargo subcommand, rustup component
    cargo "$1" --version >/dev/null 2>&1 && return
    say "missing: $2 (checks the style)"
    have rustup && rustup component add "$2" >&2 && return
    die "cannot install it; please run: rustup component add $2"
}

install_nextest() {
    cargo nextest --version >/dev/null 2>&1 && return
    say "missing: cargo-nextest (runs the tests, each in a process of its own)"
    # Built without our environment and target folder: neither its flags nor its artefacts belong to Drystone.
    local command="cargo install --locked cargo-nextest@$NEXTEST_VERSION"
    (cd / && env -u CARGO_TARGET_DIR $command >&2) || die "cannot install it; please run: $command"
}

install_cargo_deb() {
    cargo deb --version >/dev/null 2>&1 && return
    say "missing: cargo-deb (makes the Debian package)"
    local command="cargo install --locked cargo-deb@$CARGO_DEB_VERSION"
    (cd / && env -u CARGO_TARGET_DIR $command >&2) || die "cannot install it; please run: $command"
}

install_arm64_target() {
    [ -d "$(rustc --print sysroot)/lib/rustlib/$ARM64_TARGET" ] && return
    say "missing: Rust's standard library for $ARM64_TARGET"
    have rustup && rustup target add "$ARM64_TARGET" >&2 && return
    die "cannot install it; please run: rustup target add $ARM64_TARGET"
}

python_ready() { cmp -s "$REQUIREMENTS" "$PYTHON_DIR/installed.txt"; }

install_python() {
    python_ready && return
    say "installing boto3, the AWS CLI, pyarrow, pandas and DuckDB into $PYTHON_DIR (S3 clients that the tests drive)"
    local python
    python=$(venv_python) || die "no python3 here can make a virtual environment"
    "$python" -m venv --clear "$PYTHON_DIR"
    "$PYTHON_DIR/bin/python3" -m pip install -q --disable-pip-version-check -r "$REQUIREMENTS" >&2 ||
        die "cannot install them; please run: $PYTHON_DIR/bin/python3 -m pip install -r $REQUIREMENTS"
    # Last, so that an installation cut short is begun again.
    cp "$REQUIREMENTS" "$PYTHON_DIR/installed.txt"
}

case "${1:-}" in
build)
    list_build
    install_packages
    check_rust
    ;;
test)
    list_build
    list_test
    install_packages
    check_rust
    install_nextest
    install_python
    [ "$(id -u)" = 0 ] || say "not root: the tests that need network namespaces (frame, frame_home) will say so and not run"
    ;;
lint)
    # Clippy compiles what it reads, RocksDB's bindings included.
    list_build
    install_packages
    check_rust
    check_rust_tool fmt rustfmt
    check_rust_tool clippy clippy
    ;;
deb)
    list_build
    list_deb
    install_packages
    check_rust
    install_cargo_deb
    ;;
arm64)
    list_build
    list_arm64
    install_packages
    check_rust
    install_arm64_target
    ;;
*)
    die "usage: scripts/setup.sh build | test | lint | deb | arm64"
    ;;
esac
