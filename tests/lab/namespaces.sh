# The lab's world: three network namespaces in a row. Sourced by run.sh.
#
#   client 10.50.1.2 ---- veth ---- 10.50.1.1 gateway 10.50.2.1 ---- delay line ---- 10.50.2.2, 10.50.2.3 upstream
#
# No namespace has a way out: all traffic stays inside.
# shellcheck shell=bash

# The prefix of the namespaces' names; empty while there is no world.
world=

# Makes the namespaces and joins them. $1: one-way delay between gateway and upstream, in milliseconds.
make_world() {
    world=nw502-$$
    local place
    for place in client gateway upstream; do
        ip netns add "$world-$place"
        # Router solicitations and the like would only be noise in the captures.
        ip netns exec "$world-$place" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
        ip -n "$world-$place" link set lo up
    done

    ip -n "$world-client" link add to-gateway type veth peer name to-client netns "$world-gateway"
    ip -n "$world-client" addr add 10.50.1.2/24 dev to-gateway
    ip -n "$world-gateway" addr add 10.50.1.1/24 dev to-client
    ip -n "$world-client" link set to-gateway up
    ip -n "$world-gateway" link set to-client up

    # The delay line keeps hold of both ends while one of them moves to the other namespace. It ends with the world.
    ip netns exec "$world-upstream" python3 "$lab/delay_line.py" to-gateway to-upstream "$1" &
    await_link "$world-upstream" to-gateway
    await_link "$world-upstream" to-upstream
    ip -n "$world-upstream" link set to-upstream netns "$world-gateway"
    ip -n "$world-gateway" addr add 10.50.2.1/24 dev to-upstream
    ip -n "$world-upstream" addr add 10.50.2.2/24 dev to-gateway
    ip -n "$world-upstream" addr add 10.50.2.3/24 dev to-gateway
    ip -n "$world-gateway" link set to-upstream up
    ip -n "$world-upstream" link set to-gateway up
}

await_link() {
    local try
    for ((try = 0; try < 100; try++)); do
        ip -n "$1" link show "$2" &>/dev/null && return
        sleep 0.05
    done
    echo "lab: the delay line made no $2 within five seconds" >&2
    return 1
}

# Ends what runs in the namespaces, which can only be what the lab started there, and removes them.
end_world() {
    [[ -n $world ]] || return 0
    local place pid
    for place in client gateway upstream; do
        for pid in $(ip netns pids "$world-$place" 2>/dev/null); do
            kill -KILL "$pid" 2>/dev/null || true
        done
        ip netns del "$world-$place" 2>/dev/null || true
    done
    # The shell would announce each death.
    wait 2>/dev/null
    world=
}
