#!/usr/bin/env bash
# Makes the captures of this folder anew: nginx behind TLS, asked by curl and openssl, in a network namespace of its own.
# Needs root, and of Debian: nginx-light curl openssl tcpdump wireshark-common zstd iproute2.
#
#   suites.pcapng.zst       a connection for each suite and version, with its secrets in it
#   handshakes.pcapng.zst   resumption, early data, KeyUpdate and so on, with their secrets in handshakes.keys
#   *.expect                what clients got: status and path of each exchange
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
space=tls-keys-make
work=$(mktemp -d)
trap 'kill $(cat "$work/nginx.pid" "$work/tcpdump.pid" 2>/dev/null) 2>/dev/null || true; sleep 0.3; ip netns del $space; rm -rf "$work"' EXIT
ip netns add $space
inside() { ip netns exec $space "$@"; }
inside ip link set lo mtu 1500 up
cd "$work"
openssl ecparam -name prime256v1 -genkey -noout -out ec.key
openssl genrsa -out rsa.key 1024 2>/dev/null
for kind in ec rsa; do
    openssl req -x509 -key $kind.key -out $kind.crt -days 30 -subj /CN=origin.example -sha256 2>/dev/null
done
mkdir -p root && head -c 12000 /dev/zero | tr '\0' 'x' >root/large

nginx_config() {
    cat <<CONF
pid $work/nginx.pid; error_log $work/error.log; worker_processes 1; user root;
events {}
http {
    access_log off; client_body_temp_path $work/body; proxy_temp_path $work/p; fastcgi_temp_path $work/f;
    uwsgi_temp_path $work/u; scgi_temp_path $work/s;
    ssl_certificate $work/ec.crt; ssl_certificate_key $work/ec.key;
    ssl_certificate $work/rsa.crt; ssl_certificate_key $work/rsa.key;
    ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3; ssl_ciphers ALL:COMPLEMENTOFALL:@SECLEVEL=0; ssl_ecdh_curve X25519;
    ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256;
    ssl_early_data on; ssl_buffer_size 1400; root $work/root;
    server { listen 127.0.0.1:4430 ssl default_server; location /large {} location / { return 200 "here\n"; } }
    server { listen 127.0.0.1:4431 ssl; ssl_conf_command Options -EncryptThenMac; location / { return 404 "not here\n"; } }
}
CONF
}
nginx_config >nginx.conf
start_nginx() { inside nginx -c "$work/nginx.conf"; sleep 0.3; }
stop_nginx() { kill "$(cat nginx.pid)"; while [[ -e nginx.pid ]]; do sleep 0.1; done; }
capture() {
    ip netns exec $space tcpdump -i lo -s 0 -B 16384 -U -w "$work/$1.pcap" tcp >/dev/null 2>&1 &
    echo $! >tcpdump.pid
    sleep 0.7
}
captured() { sleep 0.5; kill "$(cat tcpdump.pid)"; wait "$(cat tcpdump.pid)" 2>/dev/null || true; rm tcpdump.pid; }

start_nginx
export SSLKEYLOGFILE=$work/suites.keys
capture suites
: >suites.expect
# Version, suite and port; suites by curl's names.
ask() {
    local version=$1 suite=$2 port=$3 ciphers=(--ciphers "$2:@SECLEVEL=0") status=200
    [[ $version == 1.3 ]] && ciphers=(--tls13-ciphers "$suite")
    [[ $port == 4431 ]] && status=404
    inside curl -sk --tlsv$version --tls-max $version "${ciphers[@]}" -d content -o answer -w '%{http_code} ' \
        "https://127.0.0.1:$port/$version/$suite" >>suites.expect
    echo "/$version/$suite" >>suites.expect
    [[ $(tail -1 suites.expect) == "$status "* ]] || { echo "not offered here: $version $suite"; exit 1; }
}
for suite in TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256 TLS_AES_128_CCM_SHA256 TLS_AES_128_CCM_8_SHA256; do
    ask 1.3 $suite 4430
done
for suite in ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-RSA-AES256-GCM-SHA384 ECDHE-ECDSA-CHACHA20-POLY1305 AES128-GCM-SHA256 \
    ECDHE-ECDSA-AES128-CCM ECDHE-ECDSA-AES256-CCM ECDHE-ECDSA-AES128-CCM8 ECDHE-ECDSA-AES256-CCM8; do
    ask 1.2 $suite 4430
done
for suite in ECDHE-ECDSA-AES128-SHA ECDHE-ECDSA-AES256-SHA ECDHE-ECDSA-AES128-SHA256 ECDHE-ECDSA-AES256-SHA384 AES256-SHA256; do
    ask 1.2 $suite 4430
    ask 1.2 $suite 4431
done
for version in 1.0 1.1; do
    ask $version ECDHE-ECDSA-AES128-SHA 4430
    ask $version ECDHE-ECDSA-AES256-SHA 4431
done
captured
unset SSLKEYLOGFILE

capture handshakes
: >handshakes.expect
client() { inside openssl s_client -connect 127.0.0.1:4430 -keylogfile "$work/handshakes.keys" "$@" >>client.log 2>&1; }
get() { printf 'GET %s HTTP/1.1\r\nHost: origin.example\r\n%s\r\n' "$1" "${2:+$2$'\r\n'}"; echo "${3:-200} $1" >>handshakes.expect; }
for version in 1_2 1_3; do
    (get /first-$version; sleep 0.4) | client -tls$version -sess_out session-$version
    (get /resumed-$version; sleep 0.4) | client -tls$version -sess_in session-$version
done
(get /before; sleep 0.3; printf 'K\n'; sleep 0.3; get /updated; sleep 0.3; printf 'k\n'; sleep 0.3; get /again; sleep 0.3) |
    client -tls1_3
(get /retried; sleep 0.4) | client -tls1_3 -groups P-521:X25519
(get /padded; sleep 0.2; get /large; sleep 0.6) | client -tls1_3 -record_padding 512
(get /large; sleep 0.6; get /behind; sleep 0.3) | client -tls1_3
(get /large; sleep 0.6; get /behind; sleep 0.3) | client -tls1_2 -cipher ECDHE-ECDSA-AES128-SHA256
get /early >early
(sleep 0.4; get /after-early; sleep 0.3) | client -tls1_3 -sess_in session-1_3 -early_data early
stop_nginx
start_nginx
get /refused-early >early
# The client asks again what was refused.
(sleep 0.4; cat early; sleep 0.3) | client -tls1_3 -sess_in session-1_3 -early_data early
captured

editcap --inject-secrets tls,suites.keys suites.pcap suites.pcapng
editcap handshakes.pcap handshakes.pcapng
for name in suites handshakes; do
    zstd -q -19 -f $name.pcapng -o "$here/$name.pcapng.zst"
    cp $name.expect "$here/"
done
cp handshakes.keys "$here/"
tshark -r handshakes.pcapng -o tls.keylog_file:handshakes.keys -d tcp.port==4430,tls -Y http -T fields -e http.request.uri -e http.response.code 2>/dev/null | sort | uniq -c
wc -c "$here"/*
