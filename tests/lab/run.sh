#!/usr/bin/env bash
# Takes the captures in captures/: real gateways in front of an upstream that misbehaves.
#
#   tests/lab/run.sh               every story
#   tests/lab/run.sh story…        the named ones
#   tests/lab/run.sh --list        their names, with the one-way delay of the upstream's leg in milliseconds
#
# Needs root: each story runs in three network namespaces of its own, which are removed afterwards.
set -euo pipefail

lab=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
captures=$lab/../../captures
# A race is a matter of milliseconds, and a busy machine may miss it.
attempts=6
# What story.py exits with when what the story is about did not happen.
did_not_happen=75

# shellcheck source=tests/lab/namespaces.sh
source "$lab/namespaces.sh"

main() {
    if [[ ${1:-} == --list ]]; then
        python3 "$lab/story.py" list
        return
    fi
    check_needs
    local -A delay_ms=()
    local name delay
    while read -r name delay; do
        delay_ms[$name]=$delay
    done < <(python3 "$lab/story.py" list)

    local -a wanted=("$@")
    if ((${#wanted[@]} == 0)); then
        mapfile -t wanted < <(printf '%s\n' "${!delay_ms[@]}" | sort)
    fi
    for name in "${wanted[@]}"; do
        [[ -v delay_ms[$name] ]] || die "no story is called '$name'; --list names them"
    done

    trap end_world EXIT
    trap 'exit 130' INT TERM HUP
    for name in "${wanted[@]}"; do
        take "$name" "${delay_ms[$name]}"
    done
}

# Takes one story, again if it did not happen, each time in a new world.
take() {
    local name=$1 delay=$2 attempt status
    for ((attempt = 1; attempt <= attempts; attempt++)); do
        make_world "$delay"
        status=0
        python3 "$lab/story.py" take "$name" --world "$world" --into "$captures/$name" || status=$?
        end_world
        case $status in
            0) return ;;
            "$did_not_happen") echo "$name: attempt $attempt of $attempts did not show it" >&2 ;;
            *) die "$name: the lab failed with status $status" ;;
        esac
    done
    die "$name: not seen in $attempts attempts"
}

check_needs() {
    ((EUID == 0)) || die "run it as root: it makes network namespaces"
    local need tool package
    local -a missing=()
    for need in nginx:nginx haproxy:haproxy apache2:apache2 tcpdump:tcpdump editcap:wireshark-common \
        dnsmasq:dnsmasq-base unbound:unbound ip:iproute2 ss:iproute2 iptables:iptables python3:python3; do
        tool=${need%%:*}
        package=${need#*:}
        command -v "$tool" >/dev/null || missing+=("$package")
    done
    ((${#missing[@]} == 0)) || die "install these packages first: ${missing[*]}"
    [[ -c /dev/net/tun ]] || die "/dev/net/tun is missing: load the kernel module tun"
}

die() {
    echo "lab: $*" >&2
    exit 1
}

main "$@"
