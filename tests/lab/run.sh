#!/usr/bin/env bash
# Real gateways in front of an upstream that misbehaves: takes the captures in captures/, or watches as it happens.
#
#   tests/lab/run.sh                    takes every story
#   tests/lab/run.sh story…             the named ones
#   tests/lab/run.sh --live [story…]    runs stories, a choice of them if none is named, while netwatch502 and tcpdump
#                                       watch, and compares what both saw; the program is $NETWATCH502, else the debug build
#   tests/lab/run.sh --list             their names, with the one-way delay of the upstream's leg in milliseconds, and
#                                       whether that leg is a line, a bridge, a line with IPv6 too, or a container's
#
# Needs root: each story runs in network namespaces of its own, which are removed afterwards.
set -euo pipefail

lab=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
captures=$lab/../../captures
# A race is a matter of milliseconds, and a busy machine may miss it.
attempts=6
# Stories that are watched live at the same time.
at_once=3
# What story.py exits with when what the story is about did not happen.
did_not_happen=75
# Watched live if no story is named: every kind of failure, and each gateway.
chosen=(
    nginx-connect-refused nginx-syn-unanswered nginx-icmp-reject nginx-keepalive-race-post
    nginx-closed-without-response nginx-reset-without-response nginx-truncated-head nginx-truncated-body
    nginx-malformed-header nginx-header-too-large nginx-timeout-late-answer nginx-relayed-502 nginx-client-abort
    nginx-no-live-upstreams haproxy-connect-refused haproxy-race-silent-close haproxy-timeout apache-chunk-broken
    chain-haproxy-nginx-refused nginx-process-death nginx-healthy-idle-closes bridge-nginx-reset-and-masked
    bridge-haproxy-truncated-head nginx-tls-wrong-name haproxy-tls-client-certificate apache-plaintext-to-tls
    nginx-path-outage nginx-resolver-outage nginx-saturation nginx-ipv6-router-refuses nginx-ipv6-localhost
    nginx-fastcgi-no-output nginx-uwsgi-large-short-late contained-nginx-reset-and-masked contained-haproxy-truncated-head
)

# shellcheck source=tests/lab/namespaces.sh
source "$lab/namespaces.sh"

main() {
    if [[ ${1:-} == --list ]]; then
        python3 "$lab/story.py" list
        return
    fi
    check_needs
    local -A delay_ms=() leg=()
    local name delay kind
    while read -r name delay kind; do
        delay_ms[$name]=$delay
        leg[$name]=$kind
    done < <(python3 "$lab/story.py" list)

    local live=
    if [[ ${1:-} == --live ]]; then
        live=1
        shift
        program=${NETWATCH502:-${CARGO_TARGET_DIR:-$lab/../../target}/debug/netwatch502}
        [[ -x $program ]] || die "$program is missing: build it first, with cargo build, or set NETWATCH502"
    fi
    local -a wanted=("$@")
    if ((${#wanted[@]} == 0)) && [[ $live ]]; then
        wanted=("${chosen[@]}")
    elif ((${#wanted[@]} == 0)); then
        mapfile -t wanted < <(printf '%s\n' "${!delay_ms[@]}" | sort)
    fi
    for name in "${wanted[@]}"; do
        [[ -v delay_ms[$name] ]] || die "no story is called '$name'; --list names them"
    done

    trap end_world EXIT
    trap 'exit 130' INT TERM HUP
    if [[ $live ]] && ((${#wanted[@]} > 1)); then
        # Each in a world of its own: they wait for most of the time.
        printf '%s\n' "${wanted[@]}" | xargs -n 1 -P "$at_once" "${BASH_SOURCE[0]}" --live ||
            die "not all of ${#wanted[@]} stories were seen as they are told"
        return
    fi
    for name in "${wanted[@]}"; do
        local -a how=(take --into "$captures/$name")
        [[ -z $live ]] || how=(watch --program "$program")
        run "$name" "${leg[$name]}" "${delay_ms[$name]}" "${how[@]}" || die "$name: it failed"
    done
}

# Runs one story, again if it did not happen, each time in a new world.
run() {
    local name=$1 kind=$2 delay=$3 attempt status
    shift 3
    for ((attempt = 1; attempt <= attempts; attempt++)); do
        make_world "$kind" "$delay"
        status=0
        python3 "$lab/story.py" "$@" --world "$world" "$name" || status=$?
        end_world
        case $status in
            "$did_not_happen") echo "$name: attempt $attempt of $attempts did not show it" >&2 ;;
            *) return "$status" ;;
        esac
    done
    echo "$name: not seen in $attempts attempts" >&2
    return "$did_not_happen"
}

check_needs() {
    ((EUID == 0)) || die "run it as root: it makes network namespaces"
    local need tool package
    local -a missing=()
    for need in nginx:nginx haproxy:haproxy apache2:apache2 tcpdump:tcpdump editcap:wireshark-common \
        dnsmasq:dnsmasq-base unbound:unbound ip:iproute2 ss:iproute2 iptables:iptables python3:python3 openssl:openssl node:nodejs uwsgi:uwsgi-core; do
        tool=${need%%:*}
        package=${need#*:}
        command -v "$tool" >/dev/null || missing+=("$package")
    done
    compgen -G '/usr/sbin/php-fpm*' >/dev/null || missing+=(php-fpm)
    perl -MFCGI -e 1 2>/dev/null || missing+=(libfcgi-perl)
    compgen -G '/usr/lib/uwsgi/plugins/python3*' >/dev/null || missing+=(uwsgi-plugin-python3)
    ((${#missing[@]} == 0)) || die "install these packages first: ${missing[*]}"
    [[ -c /dev/net/tun ]] || die "/dev/net/tun is missing: load the kernel module tun"
}

die() {
    echo "lab: $*" >&2
    exit 1
}

main "$@"
