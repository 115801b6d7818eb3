# Places: the network namespaces of a run that is no story, and what runs in them. Sourced by soak.sh and hour.sh, which set
# `world` to the prefix of the names and `places` to the places, and have an `end_world`.
# shellcheck shell=bash disable=SC2154

# A directory for the run, in `work`; whatever ends the run ends its world.
begin_work() {
    trap end_world EXIT
    trap 'exit 130' INT TERM HUP
    work=$(mktemp -d)
    chmod 755 "$work"
}

make_places() {
    local place
    for place in "${places[@]}"; do
        ip netns add "$world-$place"
        ip -n "$world-$place" link set lo up
    done
}

# Joins a place to the gateway by a net 10.50.$2.0, in which the gateway is 1 and the place 2. $1: the place.
join_gateway() {
    ip -n "$world-$1" link add to-gateway type veth peer name "to-$1" netns "$world-gateway"
    ip -n "$world-$1" addr add "10.50.$2.2/24" dev to-gateway
    ip -n "$world-gateway" addr add "10.50.$2.1/24" dev "to-$1"
    ip -n "$world-$1" link set to-gateway up
    ip -n "$world-gateway" link set "to-$1" up
}

within() {
    local place=$1
    shift
    ip netns exec "$world-$place" "$@"
}

# Starts a program in the background: a child of this shell, so that `$!` is the program's own number.
start() {
    local place=$1
    shift
    ip netns exec "$world-$place" "$@" &
}

# Whether all these ports are listened at. $1: the place.
listening() {
    local place=$1 port
    shift
    for port; do
        within "$place" ss -Hltn "sport = :$port" | grep -q . || return
    done
}

await() {
    local what=$1 try
    shift
    for ((try = 0; try < 100; try++)); do
        "$@" 2>/dev/null && return
        sleep 0.1
    done
    [[ ! -e $work/said ]] || cat "$work/said" >&2
    die "waited ten seconds for $what"
}

# Each argument is TOOL:PACKAGE.
check_tools() {
    ((EUID == 0)) || die "run it as root: it makes network namespaces"
    local need
    local -a missing=()
    for need; do
        command -v "${need%%:*}" >/dev/null || missing+=("${need#*:}")
    done
    ((${#missing[@]} == 0)) || die "install these packages first: ${missing[*]}"
}

# Ends what runs in the namespaces, which can only be what was started here, and removes them.
end_places() {
    local place pid
    # The shell would announce each death.
    disown -a
    for place in "${places[@]}"; do
        for pid in $(ip netns pids "$world-$place" 2>/dev/null); do
            kill -KILL "$pid" 2>/dev/null || true
        done
        ip netns del "$world-$place" 2>/dev/null || true
    done
}

die() {
    echo "$(basename "$0" .sh): $*" >&2
    exit 1
}
