#!/usr/bin/env bash
# A Drystone whose gateway and six nodes are processes of their own, so that one node can be killed:
#
#   bench/six-nodes.sh start [DIR]     prints the arguments for s3load.py
#   bench/six-nodes.sh stop [DIR]      stops everything and removes DIR
#
# Needs `drystone` and `drystone-node` (make build) on PATH or in $DRYSTONE_BIN_DIR. Loopback only, ports 29000,
# 29001 and 29100. DISK is what each node lends (20GB).
set -euo pipefail

readonly action=${1:-} dir=${2:-${TMPDIR:-/tmp}/drystone-six-nodes}
export DRYSTONE_ROOT_ACCESS_KEY=bench-access-key DRYSTONE_ROOT_SECRET_KEY=bench-secret-key-of-no-value-to-anyone
export DRYSTONE_ENDPOINT=http://127.0.0.1:29001
PATH="${DRYSTONE_BIN_DIR:-${CARGO_TARGET_DIR:-$HOME/.cache/drystone/target}/release}:$PATH"

spawn() { # name, command…
    local name=$1
    shift
    "$@" >"$dir/$name.out" 2>&1 </dev/null &
    echo $! >"$dir/$name.pid"
}

wait_until() { # what, command…
    local what=$1
    shift
    for _ in $(seq 100); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.2
    done
    echo "six-nodes: $what; see $dir" >&2
    exit 1
}

start() {
    mkdir "$dir" # fails if it is there: two at a time would share ports
    spawn gateway drystone gateway --data "$dir/gateway" --s3-addr 127.0.0.1:29000 \
        --admin-addr 127.0.0.1:29001 --node-addr 127.0.0.1:29100
    wait_until 'the gateway does not answer' drystone admin nodes
    for node in 1 2 3 4 5 6; do
        drystone-node join "$(drystone admin invite | awk 'END { print $NF }')" --data "$dir/node$node" \
            --name "node$node" --disk "${DISK:-20GB}" >"$dir/join$node.out" 2>&1
        spawn "node$node" drystone-node run --data "$dir/node$node"
    done
    wait_until 'not all nodes connect' all_online
    printf -- '--target drystone=http://127.0.0.1:29000,%s,%s,us-east-1,%s --degrade "drystone=kill -9 %s"\n' \
        "$DRYSTONE_ROOT_ACCESS_KEY" "$DRYSTONE_ROOT_SECRET_KEY" "$(cat "$dir"/*.pid | paste -sd+)" "$(cat "$dir/node3.pid")"
}

all_online() { drystone admin durability --json | grep -q '"online": 6'; }

stop() {
    [ -d "$dir" ] || return 0
    for file in "$dir"/*.pid; do
        pid=$(cat "$file")
        kill "$pid" 2>/dev/null || continue
        while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
    done
    rm -rf "$dir"
}

case $action in
start) start ;;
stop) stop ;;
*) sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
