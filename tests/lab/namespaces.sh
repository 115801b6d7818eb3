# The lab's world: network namespaces in a row. Sourced by run.sh.
#
#   client 10.50.1.2 ---- veth ---- 10.50.1.1 gateway 10.50.2.1 ---- delay line ---- 10.50.2.2, 10.50.2.3 upstream
#
# or, as where the upstreams are containers,
#
#                                                             .---- veth ---- 10.50.2.2 upstream
#   client 10.50.1.2 ---- veth ---- 10.50.1.1 gateway 10.50.2.1 on a bridge
#                                                             `---- veth ---- 10.50.2.3 second
#
# or, as where the gateway is a container too, with a published port, that reaches one upstream by a service's address and the
# other one by masquerading (its host knows a route to each of them, and no bridge),
#
#   client 10.50.1.2 ---- veth ---- 10.50.1.1 host ---- veth ---- 10.50.2.2 upstream, as 10.50.9.1:80 too
#                                              | `---- veth ---- 10.50.2.3 second
#                                              `------ veth ---- 10.50.3.2 container, as 10.50.1.1:8080
#
# where the capture is taken on the host, which the lab calls the gateway all the same,
#
# and in a dual world by IPv6 too: fd50:1::2 ---- fd50:1::1, fd50:2::1 ---- fd50:2::2, fd50:2::3.
#
# No namespace has a way out: all traffic stays inside.
# shellcheck shell=bash

# The prefix of the namespaces' names; empty while there is no world.
world=

places=(client gateway upstream second container)

# Makes the namespaces and joins them. $1: whether the upstreams are `lined`, `bridged`, for IPv6 too
# `dual`, or the gateway is `contained`. $2: one-way delay of the line, in
# milliseconds.
make_world() {
    world=nw502-$$
    local place
    for place in "${places[@]}"; do
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

    "make_$1" "$2"
}

# The upstreams at the end of a line.
make_lined() {
    # The delay line keeps hold of both ends while one of them moves to the other namespace. It ends with the world.
    ip netns exec "$world-upstream" python3 "$lab/delay_line.py" to-gateway to-upstream "$1" &
    # The shell would announce its death.
    disown
    await_link "$world-upstream" to-gateway
    await_link "$world-upstream" to-upstream
    ip -n "$world-upstream" link set to-upstream netns "$world-gateway"
    ip -n "$world-gateway" addr add 10.50.2.1/24 dev to-upstream
    ip -n "$world-upstream" addr add 10.50.2.2/24 dev to-gateway
    ip -n "$world-upstream" addr add 10.50.2.3/24 dev to-gateway
    ip -n "$world-gateway" link set to-upstream up
    ip -n "$world-upstream" link set to-gateway up
}

# The upstreams at the end of a line, with addresses of both families.
make_dual() {
    local place
    for place in client gateway upstream; do
        ip netns exec "$world-$place" sysctl -qw net.ipv6.conf.default.router_solicitations=0 \
            net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.disable_ipv6=0 net.ipv6.conf.lo.disable_ipv6=0
    done
    ip netns exec "$world-client" sysctl -qw net.ipv6.conf.to-gateway.disable_ipv6=0
    ip netns exec "$world-gateway" sysctl -qw net.ipv6.conf.to-client.disable_ipv6=0
    ip -n "$world-client" addr add fd50:1::2/64 dev to-gateway nodad
    ip -n "$world-gateway" addr add fd50:1::1/64 dev to-client nodad
    make_lined "$1"
    ip -n "$world-gateway" addr add fd50:2::1/64 dev to-upstream nodad
    ip -n "$world-upstream" addr add fd50:2::2/64 dev to-gateway nodad
    ip -n "$world-upstream" addr add fd50:2::3/64 dev to-gateway nodad
}

# The upstreams behind a bridge.
make_bridged() {
    ip -n "$world-gateway" link add br0 type bridge
    ip -n "$world-gateway" addr add 10.50.2.1/24 dev br0
    ip -n "$world-gateway" link set br0 up
    make_port upstream 10.50.2.2
    make_port second 10.50.2.3
}

# The gateway in a container, whose host translates addresses for it.
make_contained() {
    routed_place container 10.50.3.2
    routed_place upstream 10.50.2.2
    routed_place second 10.50.2.3
    ip netns exec "$world-gateway" sysctl -qw net.ipv4.ip_forward=1
    translate PREROUTING -p tcp -d 10.50.1.1 --dport 8080 -j DNAT --to-destination 10.50.3.2:8080
    translate PREROUTING -p tcp -d 10.50.9.1 --dport 80 -j DNAT --to-destination 10.50.2.2:9000
    translate POSTROUTING -s 10.50.3.0/24 -d 10.50.2.3 -p tcp -j MASQUERADE --random
}

translate() {
    ip netns exec "$world-gateway" iptables -w 5 -t nat -A "$@"
}

# A place that reaches all others by way of the gateway's host. $1: which. $2: its address.
routed_place() {
    ip -n "$world-$1" link add to-gateway type veth peer name "to-$1" netns "$world-gateway"
    ip -n "$world-$1" addr add "$2/32" dev to-gateway
    ip -n "$world-$1" link set to-gateway up
    ip -n "$world-gateway" addr add 169.254.1.1/32 dev "to-$1"
    ip -n "$world-gateway" link set "to-$1" up
    ip -n "$world-gateway" route add "$2/32" dev "to-$1"
    ip -n "$world-$1" route add 169.254.1.1 dev to-gateway
    ip -n "$world-$1" route add default via 169.254.1.1 dev to-gateway
}

# A port of the bridge. $1: which namespace is behind it. $2: its address.
make_port() {
    ip -n "$world-$1" link add to-gateway type veth peer name "to-$1" netns "$world-gateway"
    ip -n "$world-$1" addr add "$2/24" dev to-gateway
    ip -n "$world-gateway" link set "to-$1" master br0
    ip -n "$world-gateway" link set "to-$1" up
    ip -n "$world-$1" link set to-gateway up
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
    for place in "${places[@]}"; do
        for pid in $(ip netns pids "$world-$place" 2>/dev/null); do
            kill -KILL "$pid" 2>/dev/null || true
        done
    done
    for place in "${places[@]}"; do
        ip netns del "$world-$place" 2>/dev/null || true
    done
    world=
}
