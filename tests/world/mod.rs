//! A network of one's own: a test runs again as a process in a network namespace that has nothing but what the test makes.
//! The kernel is asked directly, so that no tool but util-linux's `unshare` is needed.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::env;
use std::ffi::CString;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, ipproto, netdevice, recv, send, sendto, socket};
use rustix::process::geteuid;

/// Runs `body` in a network namespace: as root, or in a user namespace where it looks so.
pub(crate) fn alone(test: &str, body: impl FnOnce()) {
    let mut launcher = Command::new("unshare");
    launcher.arg("--net");
    if !geteuid().is_root() {
        launcher.arg("--map-root-user");
    }
    again(launcher, test, body);
}

/// Runs `body` as root, in a network namespace with loopback up and where nobody else sees what is mounted. The program has to
/// give up rights that only root has.
pub(crate) fn as_root(test: &str, body: impl FnOnce()) {
    if !geteuid().is_root() {
        eprintln!("{test}: not run, for it needs root: sudo -E env PATH=\"$PATH\" cargo test");
        return;
    }
    let mut launcher = Command::new("unshare");
    launcher.args(["--net", "--mount"]);
    again(launcher, test, || {
        set_up("lo", true);
        body();
    });
}

/// Makes a file system of so many KiB in memory, for this namespace only.
pub(crate) fn mount(kib: u32, at: &Path) {
    let size = CString::new(format!("size={kib}k,mode=755")).unwrap();
    rustix::mount::mount("tmpfs", at, "tmpfs", rustix::mount::MountFlags::empty(), size.as_c_str()).unwrap();
}

/// Sends IP packets out of the interface whose subnet has this broadcast address, whatever addresses they bear.
pub(crate) fn inject<'p>(packets: impl IntoIterator<Item = &'p [u8]>, broadcast: Ipv4Addr) {
    let raw = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::RAW)).unwrap();
    rustix::net::sockopt::set_socket_broadcast(&raw, true).unwrap();
    for packet in packets {
        sendto(&raw, packet, SendFlags::empty(), &SocketAddrV4::new(broadcast, 0)).unwrap();
    }
}

/// Runs `body` in a process of its own; in a network namespace as root, else as the ordinary user.
pub(crate) fn as_oneself(test: &str, body: impl FnOnce()) {
    let mut launcher = Command::new("unshare");
    if geteuid().is_root() {
        launcher.arg("--net");
    }
    again(launcher, test, body);
}

/// The test binary runs this one test again.
fn again(mut launcher: Command, test: &str, body: impl FnOnce()) {
    if env::var_os(INSIDE).is_some() {
        return body();
    }
    // Some systems let nobody but root make a namespace.
    let allowed = Command::new(launcher.get_program()).args(launcher.get_args()).arg("true").output();
    if !geteuid().is_root() && allowed.is_ok_and(|output| !output.status.success()) {
        eprintln!("{test}: not run, for it needs a network namespace: sudo -E env PATH=\"$PATH\" cargo test");
        return;
    }
    launcher.arg(env::current_exe().unwrap());
    launcher.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(INSIDE, "1");
    let output = launcher.output().unwrap_or_else(|error| panic!("unshare, of the package util-linux: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success(),
        "{out}{err}\nThis test needs a network namespace. Where that was refused, run it as root:\n  \
         sudo -E env PATH=\"$PATH\" cargo test\n"
    );
    assert!(out.contains("1 passed"), "no test named {test}: {out}");
}

const INSIDE: &str = "NETWATCH502_TEST_WORLD";

/// Takes an interface up, or down.
pub(crate) fn set_up(name: &str, up: bool) {
    let body = [link_head(u32::from(up), 1), attribute(IFLA_IFNAME, &terminated(name))].concat();
    ask(RTM_NEWLINK, 0, &body);
}

/// A pair of interfaces, each the other's far end; up, `one` with an address.
pub(crate) fn make_pair(one: &str, other: &str, address: Ipv4Addr) {
    let peer = [link_head(0, 0), attribute(IFLA_IFNAME, &terminated(other))].concat();
    let details = attribute(IFLA_INFO_DATA, &attribute(VETH_INFO_PEER, &peer));
    let kind = [attribute(IFLA_INFO_KIND, b"veth"), details].concat();
    let names = [attribute(IFLA_IFNAME, &terminated(one)), attribute(IFLA_LINKINFO, &kind)].concat();
    ask(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &[link_head(0, 0), names].concat());
    let index = netdevice::name_to_index(socket(AddressFamily::INET, SocketType::DGRAM, None).unwrap(), one).unwrap();
    let octets = address.octets();
    let body = [
        vec![2, 24, 0, 0],
        index.to_ne_bytes().to_vec(),
        attribute(IFA_LOCAL, &octets),
        attribute(IFA_ADDRESS, &octets),
        attribute(IFA_BROADCAST, &[octets[0], octets[1], octets[2], 255]),
    ];
    ask(RTM_NEWADDR, NLM_F_CREATE, &body.concat());
    set_up(one, true);
    set_up(other, true);
}

/// Removes an interface.
pub(crate) fn remove(name: &str) {
    ask(RTM_DELLINK, 0, &[link_head(0, 0), attribute(IFLA_IFNAME, &terminated(name))].concat());
}

/// Sends one request to the kernel (RFC 3549 section 2.3) and waits for its acknowledgement.
fn ask(kind: u16, flags: u16, body: &[u8]) {
    // No protocol is number 0, NETLINK_ROUTE.
    let asked: OwnedFd = socket(AddressFamily::NETLINK, SocketType::RAW, None).unwrap();
    let mut message = Vec::new();
    message.extend((16 + body.len() as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    send(&asked, &message, SendFlags::empty()).unwrap();
    let mut answer = [0; 4096];
    let (length, _) = recv(&asked, &mut answer, RecvFlags::empty()).unwrap();
    assert!(length >= 20);
    let error = i32::from_ne_bytes(answer[16..20].try_into().unwrap());
    assert_eq!(error, 0, "request {kind}: {}", std::io::Error::from_raw_os_error(-error));
}

/// `struct ifinfomsg`.
fn link_head(flags: u32, change: u32) -> Vec<u8> {
    [[0; 8], [flags.to_ne_bytes(), change.to_ne_bytes()].concat().try_into().unwrap()].concat()
}

/// `struct rtattr` with what it holds, padded to four octets.
fn attribute(kind: u16, octets: &[u8]) -> Vec<u8> {
    let mut attribute = [(4 + octets.len() as u16).to_ne_bytes(), kind.to_ne_bytes()].concat();
    attribute.extend(octets);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    attribute
}

fn terminated(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_NEWADDR: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
