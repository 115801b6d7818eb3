#!/usr/bin/env bash
# Ten minutes under load: is the program's memory flat, and does it tell every failure that the gateway itself logged?
#
#   tests/lab/soak.sh [SECONDS [PROGRAM]]     600 seconds of target/release/netwatch502 by default
#
# A real nginx serves short and kept connections of a real wrk, some two thousand requests a second that come and go in
# rounds, and thirty a second that fail in five ways. The program watches on `any`, with a ring of files, a recorder and
# metrics. Prints its memory every few seconds, and fails where
#
#   - it takes more than 150 MB at any time, or, in a run of five minutes and more, in the last quarter 4 MB
#     more than in the second;
#   - the failures told are not, status by status, those in nginx's log (where the kernel dropped packets: more than those);
#   - a file that it kept cannot be read again, or it does not end by SIGINT with status 1.
#
# SOAK_DELAY_MS: how long each of wrk's connections waits between requests (20). Needs root, for namespaces of its own, which
# are removed afterwards; nothing passes out of them.
set -euo pipefail

lab=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
seconds=${1:-600}
program=${2:-$lab/../../target/release/netwatch502}
export SOAK_DELAY_MS=${SOAK_DELAY_MS:-20}

world=nw502-soak-$$
places=(client gateway)
work=

# shellcheck source=tests/lab/places.sh
source "$lab/places.sh"

main() {
    check_needs
    begin_work
    make_world
    start_servers
    start_watching
    start_load
    # In the background, so that a signal ends it at once.
    start gateway python3 "$lab/soak/memory.py" "$watching" "$seconds"
    wait $!
    stop_load
    end_watching
    python3 "$lab/soak/agreement.py" "$work" "$program"
}

# Two namespaces: client 10.50.1.2 ---- veth ---- 10.50.1.1 gateway, with its upstreams on loopback.
make_world() {
    make_places
    local place
    for place in "${places[@]}"; do
        within "$place" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
    done
    join_gateway client 1
}

start_servers() {
    sed "s|@WORK@|$work|g" "$lab/soak/nginx.conf" >"$work/nginx.conf"
    start gateway nginx -e "$work/nginx-error.log" -c "$work/nginx.conf"
    start gateway python3 "$lab/upstream.py" 127.0.0.1:9001 --behave /close=close --behave /reset=reset \
        --behave /cut=cut_head --behave /slow=slow:2 >/dev/null
    await "nginx and the upstream to listen" listening gateway 8080 9000 9001
}

start_watching() {
    mkdir "$work/kept"
    chown nobody "$work/kept"
    SUDO_UID='' start gateway "$program" -i any --ndjson --metrics 127.0.0.1:9502 \
        -w "$work/kept/all.pcapng" -b filesize:20480 -b files:4 --record "$work/kept/failures.pcapng" \
        port 8080 >"$work/told.ndjson" 2>"$work/said"
    watching=$!
    await "the program to capture" grep -q '^netwatch502: capturing on any' "$work/said"
}

start_load() {
    loads=()
    # Rounds of unlike lengths, so that connections come and go at all times.
    rounds 7s -c 40 http://10.50.1.1:8080/kept &
    loads+=($!)
    rounds 5s -c 12 -H 'Connection: close' http://10.50.1.1:8080/short &
    loads+=($!)
    start client python3 "$lab/soak/failing.py" 10.50.1.1:8080 20
    failing=$!
}

# wrk again and again, for so long each time, until the file `over` is there.
rounds() {
    local span=$1
    shift
    while [[ ! -e $work/over ]]; do
        within client wrk -t 1 -d "$span" -s "$lab/soak/load.lua" "$@" >>"$work/wrk.log" 2>&1 || true
        sleep 0.3
    done
}

stop_load() {
    touch "$work/over"
    kill -TERM "$failing"
    # It ends once its last request was answered.
    wait "$failing"
    wait "${loads[@]}"
    sleep 2
}

end_watching() {
    local status=0
    kill -INT "$watching"
    wait "$watching" || status=$?
    ((status == 1)) || { cat "$work/said" >&2; die "the program ended with status $status"; }
}

check_needs() {
    check_tools nginx:nginx wrk:wrk ip:iproute2 ss:iproute2 python3:python3 capinfos:wireshark-common
    [[ -x $program ]] || die "$program is missing: cargo build --release"
}

end_world() {
    [[ -n $work ]] || return 0
    touch "$work/over"
    end_places
    rm -rf "$work"
    work=
}

main
