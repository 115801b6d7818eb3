#!/usr/bin/env bash
# An hour of healthy traffic: does the program say that nothing failed?
#
#   tests/lab/hour.sh [SECONDS [PROGRAM]]     3600 seconds, and target/release/netwatch502, by default
#
# nginx, HAProxy and Apache with the timeouts they come with are gateways for Node, gunicorn and nginx. Browsers, programs, slow
# and long answers come in a wave of ten to forty requests a second; nothing is restarted, and no client leaves early. The program
# watches on `any`, and tcpdump takes all of it. Prints what was seen, and fails where
#
#   - a gateway or an origin logged an error, a status of 400 and more, or a second attempt: it was not healthy then;
#   - the program tells any incident, live or of tcpdump's file.
#
# HOUR_KEEP: a directory for logs and the capture, which are otherwise removed. Needs root, for namespaces of its own, which are
# removed afterwards; nothing passes out of them.
set -euo pipefail

lab=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
seconds=${1:-3600}
program=${2:-$lab/../../target/release/netwatch502}

world=nw502-hour-$$
places=(client gateway origin)
work=

# shellcheck source=tests/lab/places.sh
source "$lab/places.sh"

main() {
    check_needs
    begin_work
    make_world
    start_origins
    start_gateways
    start_watching
    local status=0
    # In the background, so that a signal ends it at once.
    start client python3 "$lab/hour/clients.py" "$seconds"
    wait $! || status=$?
    sleep 2
    end_watching
    python3 "$lab/hour/judge.py" "$work" "$program" || status=$?
    if [[ -n ${HOUR_KEEP:-} ]]; then
        mkdir -p "$HOUR_KEEP"
        cp -r "$work/." "$HOUR_KEEP"
    fi
    return "$status"
}

# Three namespaces in a row: client 10.50.1.2 and fd50:1::2 ---- 10.50.1.1 and fd50:1::1 gateway 10.50.2.1 ---- 10.50.2.2 origin.
make_world() {
    make_places
    local place
    for place in "${places[@]}"; do
        within "$place" sysctl -qw net.ipv6.conf.default.router_solicitations=0
    done
    join_gateway client 1
    join_gateway origin 2
    ip -n "$world-client" addr add fd50:1::2/64 dev to-gateway nodad
    ip -n "$world-gateway" addr add fd50:1::1/64 dev to-client nodad
}

start_origins() {
    mkdir "$work/files"
    head -c 9000 /dev/zero | tr '\0' a >"$work/files/page"
    head -c 40000 /dev/zero | tr '\0' a >"$work/files/asset"
    head -c 600000 /dev/zero | tr '\0' a >"$work/files/download"
    configure origin.conf
    start origin nginx -e "$work/origin-error.log" -c "$work/origin.conf"
    start origin node "$lab/hour/app.js" 10.50.2.2:3000 >"$work/node.log" 2>&1
    start origin gunicorn --chdir "$lab/hour" --bind 10.50.2.2:8000 --worker-class gthread --workers 2 --threads 20 \
        app:application >"$work/gunicorn.log" 2>&1
    await "the origins to listen" listening origin 3000 8000 9000
}

start_gateways() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=gateway \
        -out "$work/gateway.crt" -keyout "$work/gateway.key" 2>/dev/null
    configure nginx.conf
    configure haproxy.cfg
    local module
    for module in mpm_event authz_core slotmem_shm lbmethod_byrequests proxy proxy_http proxy_balancer proxy_hcheck; do
        echo "LoadModule ${module}_module /usr/lib/apache2/modules/mod_$module.so"
    done >"$work/apache.conf"
    sed "s|@WORK@|$work|g" "$lab/hour/apache.conf" >>"$work/apache.conf"
    start gateway nginx -e "$work/nginx-error.log" -c "$work/nginx.conf"
    start gateway haproxy -db -f "$work/haproxy.cfg" >"$work/haproxy.log" 2>&1
    start gateway apache2 -DFOREGROUND -f "$work/apache.conf"
    await "the gateways to listen" listening gateway 8080 8081 8082 8443
}

configure() {
    sed "s|@WORK@|$work|g" "$lab/hour/$1" >"$work/$1"
}

start_watching() {
    start gateway tcpdump -i any -s 0 -n -B 32768 -Z root --time-stamp-precision=nano -w "$work/capture.pcap" \
        2>"$work/tcpdump.said"
    dumping=$!
    start gateway env -u SUDO_UID "$program" -i any --ndjson >"$work/told.ndjson" 2>"$work/said"
    watching=$!
    await "the program to capture" grep -q '^netwatch502: capturing on any' "$work/said"
    await "tcpdump to capture" grep -q '^tcpdump: listening\|^listening' "$work/tcpdump.said"
}

end_watching() {
    local status=0
    kill -INT "$watching" "$dumping"
    wait "$dumping"
    wait "$watching" || status=$?
    ((status <= 1)) || { cat "$work/said" >&2; die "the program ended with status $status"; }
    echo "the program ended with status $status; tcpdump: $(tail -n 3 "$work/tcpdump.said" | paste -sd ' ')"
}

check_needs() {
    check_tools nginx:nginx haproxy:haproxy apache2:apache2-bin node:nodejs gunicorn:gunicorn tcpdump:tcpdump ip:iproute2 \
        ss:iproute2 openssl:openssl python3:python3
    [[ -x $program ]] || die "$program is missing: cargo build --release"
}

end_world() {
    [[ -n $work ]] || return 0
    end_places
    rm -rf "$work"
    work=
}

main
