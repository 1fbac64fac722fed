#!/usr/bin/env bash
# A Drystone whose gateway and six nodes are processes of their own, so that one node can be killed:
#
#   bench/six-nodes.sh start [DIR]     prints the arguments for s3load.py
#   bench/six-nodes.sh stop [DIR]      stops everything and removes DIR
#   bench/six-nodes.sh load [ARGS…]    starts, runs s3load.py with ARGS, kills node 3, measures reads again, stops
#
# Needs `drystone` and `drystone-node` (make build) on PATH or in $DRYSTONE_BIN_DIR. Loopback only, ports 29000,
# 29001 and 29100. DISK is what each node lends (20GB). DIR should lie on a real disk: fsync costs nothing on tmpfs.
set -euo pipefail

readonly action=${1:-}
dir=/var/tmp/drystone-six-nodes
case $action in start | stop) dir=${2:-$dir} ;; esac
here=$(cd "$(dirname "$0")" && pwd)
export DRYSTONE_ROOT_ACCESS_KEY=bench-access-key DRYSTONE_ROOT_SECRET_KEY=bench-secret-key-of-no-value-to-anyone
export DRYSTONE_ENDPOINT=http://127.0.0.1:29001
PATH="${DRYSTONE_BIN_DIR:-${CARGO_TARGET_DIR:-$HOME/.cache/drystone/target}/release}:$PATH"

spawn() { # name, command…
    local name=$1
    shift
    "$@" >"$dir/$name.out" 2>&1 </dev/null &
    echo $! >"$dir/$name.pid"
    disown # bash need not tell when it is killed
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
    target="drystone=http://127.0.0.1:29000,$DRYSTONE_ROOT_ACCESS_KEY,$DRYSTONE_ROOT_SECRET_KEY,us-east-1,$(cat "$dir"/*.pid | paste -sd+)"
    degrade="drystone=kill -9 $(cat "$dir/node3.pid")"
}

load() {
    trap stop EXIT
    start
    "$here/s3load.py" --target "$target" --degrade "$degrade" --disk "$dir" "$@"
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
start)
    start
    printf -- '--target %s --degrade "%s"\n' "$target" "$degrade"
    ;;
stop) stop ;;
load)
    shift
    load "$@"
    ;;
*) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
