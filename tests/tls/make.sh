#!/bin/sh
# Makes the captures of this folder: OpenSSL's own server and client, and a few lines of Python where neither will do, in a
# network namespace of their own. Needs root, tcpdump, openssl, python3 and iproute2. Usage: make.sh FOLDER
set -eu
here=$(realpath "$1")
space=tls-wire-$$
work=$(mktemp -d)
trap 'ip netns del "$space"; rm -rf "$work"' EXIT
ip netns add "$space"
ip -n "$space" link set lo up
ip -n "$space" link set lo mtu 1500
cd "$work"

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 3650 \
    -subj "/O=Example/CN=Example CA" 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out server.csr -subj "/O=Example/CN=app.example" 2>/dev/null
printf 'subjectAltName=DNS:app.example,DNS:*.app.example,IP:192.0.2.7,IP:2001:db8::7\n' > names
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -extfile names -out cert.pem 2>/dev/null

# capture NAME: what the following command does is kept under that name.
capture() {
    name=$1
    : >tcpdump.log
    ip netns exec "$space" tcpdump -Z root -i lo -s 0 -U --immediate-mode -w "$here/$name.pcap" tcp port 4433 2>tcpdump.log &
    dump=$!
    while ! grep -q listening tcpdump.log; do sleep 0.05; done
}
done_capturing() {
    sleep 0.5
    kill -INT "$dump"
    wait "$dump" || true
}
serve() {
    ip netns exec "$space" openssl s_server -accept 4433 -cert cert.pem -key key.pem -cert_chain ca.pem -www -quiet "$@" >server.log 2>&1 &
    server=$!
    while ! ip netns exec "$space" ss -ltn | grep -q :4433; do sleep 0.05; done
}
stop() {
    kill "$server"
    wait "$server" 2>/dev/null || true
}
ask() {
    { printf 'GET /%s HTTP/1.0\r\n\r\n' "$asked"; sleep 0.3; } |
        ip netns exec "$space" openssl s_client -connect 127.0.0.1:4433 -servername app.example -quiet "$@" >client.log 2>&1 || true
}
one() {
    name=$1 server_flags=$2
    shift 2
    serve $server_flags
    capture "$name"
    asked=one
    ask "$@"
    done_capturing
    stop
}

one tls13 ""
one tls12 "" -tls1_2 -alpn http/1.1
one tls10-cbc "-tls1 -cipher ALL:@SECLEVEL=0" -tls1 -cipher AES128-SHA:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0
one retry "-groups P-256" -groups X25519:P-256
one split-hello "" -max_send_frag 512 -alpn "$(seq -s, -f 'protocol-number-%g' 60),http/1.1"
one version-refused "-tls1_3" -tls1_2
one unknown-authority "" -verify_return_error -tls1_3
one no-client-certificate "-Verify 1 -verify_return_error -tls1_2"
one no-client-certificate-13 "-Verify 1 -verify_return_error -tls1_3"

for version in tls1_2 tls1_3; do
    serve
    asked=one
    ask -$version -sess_out session.pem
    capture resumed-$version
    ask -$version -sess_in session.pem
    done_capturing
    stop
done

mkdir page
ip netns exec "$space" python3 -m http.server -d page 4433 >server.log 2>&1 &
server=$!
while ! ip netns exec "$space" ss -ltn | grep -q :4433; do sleep 0.05; done
capture tls-to-plaintext
asked=one
ask
done_capturing
stop

# A server that reads a line first: the PROXY protocol's, or a STARTTLS.
cat > lines.py <<'P'
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert.pem", "key.pem")
listener = socket.create_server(("127.0.0.1", 4433))
s, _ = listener.accept()
greets = sys.argv[1] == "starttls"
if greets: s.sendall(b"220 mail.example ESMTP\r\n")
while True:
    line = b""
    while not line.endswith(b"\n"): line += s.recv(1)
    if not greets: break
    if line.startswith(b"STARTTLS"):
        s.sendall(b"220 go ahead\r\n")
        break
    s.sendall(b"250-mail.example\r\n250 STARTTLS\r\n")
s = context.wrap_socket(s, server_side=True)
s.recv(1000)
s.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
s.close()
P
cat > client.py <<'P'
import socket, ssl
context = ssl.create_default_context(cafile="ca.pem")
s = socket.create_connection(("127.0.0.1", 4433))
s.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.7 56324 443\r\n")
s = context.wrap_socket(s, server_hostname="app.example")
s.sendall(b"GET / HTTP/1.0\r\n\r\n")
while s.recv(1000): pass
P
for kind in proxy starttls; do
    ip netns exec "$space" python3 lines.py $kind &
    server=$!
    while ! ip netns exec "$space" ss -ltn | grep -q :4433; do sleep 0.05; done
    capture $kind
    if [ $kind = proxy ]; then ip netns exec "$space" python3 client.py; else asked=one; ask -starttls smtp; fi
    done_capturing
    wait "$server" || true
done
