//! The kernel's filter of an open interface, replaced at once: in come a program that libpcap compiled and the socket, and
//! from one packet to the next the kernel judges by it.
//!
//! libpcap replaces a filter by one that keeps nothing, empties the socket, and then sets the new one: what passes meanwhile is
//! lost, and counted nowhere. On a machine that is busy this lasts for milliseconds, and a request may be in it.

use std::os::fd::AsFd;

use pcap::BpfProgram;
use socket2::{SockFilter, SockRef};

use crate::wire::link::LinkType;

/// Attaches `program`, which is for frames of `link` as libpcap hands them over, to a packet socket. What passes on loopback it judges
/// once. `Ok(false)` where the
/// kernel cannot run it, because it asks for what only libpcap's header of a frame holds.
///
/// # Errors
///
/// What the kernel says against it.
pub(super) fn attach(socket: &impl AsFd, link: LinkType, program: &BpfProgram) -> std::io::Result<bool> {
    let instructions = program.get_instructions().iter();
    let Some(filter) = instructions.map(|one| kernels(link, parse(&one.to_string())?)).collect::<Option<Vec<_>>>()
    else {
        return Ok(false);
    };
    let filter = LOOPBACK_ONCE.iter().chain(&filter);
    let filter: Vec<_> = filter.map(|one| SockFilter::new(one.code, one.jt, one.jf, one.k)).collect();
    SockRef::from(socket).attach_filter(&filter)?;
    Ok(true)
}

/// An instruction of the classic Berkeley packet filter (`struct sock_filter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u16,
    jt: u8,
    jf: u8,
    k: u32,
}

/// Reads an instruction as `tcpdump -ddd` prints it, which is all that the pcap crate shows of it.
fn parse(text: &str) -> Option<Instruction> {
    let mut words = text.split(' ');
    Some(Instruction {
        code: words.next()?.parse().ok()?,
        jt: words.next()?.parse().ok()?,
        jf: words.next()?.parse().ok()?,
        k: words.next()?.parse().ok()?,
    })
}

/// The instruction as the kernel needs it. On cooked interfaces libpcap puts a header before the packet after the kernel's
/// filter has judged it: what is loaded from there the kernel has elsewhere, or not at all.
fn kernels(link: LinkType, instruction: Instruction) -> Option<Instruction> {
    let (header, elsewhere): (u32, &[(u32, u32)]) = match link {
        LinkType::LINUX_SLL => (16, &[(0, PACKET_TYPE), (14, PROTOCOL)]),
        LinkType::LINUX_SLL2 => (20, &[(0, PROTOCOL), (4, INTERFACE_INDEX), (10, PACKET_TYPE)]),
        _ => return Some(instruction),
    };
    let loads = matches!(instruction.code & CLASS, LD | LDX) && matches!(instruction.code & MODE, ABS | IND | MSH);
    // What the compiler itself asks of the kernel lies at negative offsets.
    if !loads || instruction.k >= ANCILLARY {
        return Some(instruction);
    }
    let k = match instruction.k.checked_sub(header) {
        Some(k) => k,
        None => elsewhere.iter().find(|(offset, _)| *offset == instruction.k)?.1,
    };
    Some(Instruction { k, ..instruction })
}

/// Before any filter: the kernel shows what passes on loopback on its way out and on its way in. libpcap leaves the first copy out
/// as well, once it has taken room in the ring, and time to be put there.
const LOOPBACK_ONCE: [Instruction; 5] = [
    Instruction { code: LOAD, jt: 0, jf: 0, k: PACKET_TYPE },
    Instruction { code: IS_EQUAL, jt: 0, jf: 3, k: OUTGOING },
    Instruction { code: LOAD, jt: 0, jf: 0, k: HARDWARE_TYPE },
    Instruction { code: IS_EQUAL, jt: 0, jf: 1, k: LOOPBACK },
    Instruction { code: RETURN, jt: 0, jf: 0, k: 0 },
];
const LOAD: u16 = LD | ABS;
/// `BPF_JMP`, `BPF_JEQ` with a constant, and `BPF_RET` of one.
const IS_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
/// `PACKET_OUTGOING` (`linux/if_packet.h`), and `ARPHRD_LOOPBACK` (`linux/if_arp.h`).
const OUTGOING: u32 = 4;
const LOOPBACK: u32 = 772;

/// The parts of an instruction's code (`linux/bpf_common.h`).
const CLASS: u16 = 0x07;
const LD: u16 = 0x00;
const LDX: u16 = 0x01;
const MODE: u16 = 0xe0;
const ABS: u16 = 0x20;
const IND: u16 = 0x40;
const MSH: u16 = 0xa0;

/// What the kernel knows of a packet that is not in it (`linux/filter.h`, `SKF_AD_OFF` and what follows from there). The
/// largest negative offset is `SKF_LL_OFF`.
const ANCILLARY: u32 = 0xffe0_0000;
const AT_ANCILLARY: u32 = 0xffff_f000;
const PROTOCOL: u32 = AT_ANCILLARY;
const PACKET_TYPE: u32 = AT_ANCILLARY + 4;
const INTERFACE_INDEX: u32 = AT_ANCILLARY + 8;
const HARDWARE_TYPE: u32 = AT_ANCILLARY + 28;

#[cfg(test)]
mod tests {
    use super::*;

    fn load(k: u32) -> Instruction {
        Instruction { code: LD | ABS | 0x08, jt: 0, jf: 0, k }
    }

    #[test]
    fn loads_from_a_cooked_header_become_what_the_kernel_has() {
        let kernels_offset = |link, k| kernels(link, load(k)).map(|load| load.k);
        let sll2 = LinkType::LINUX_SLL2;
        assert_eq!(kernels_offset(sll2, 0), Some(0xffff_f000), "the protocol");
        assert_eq!(kernels_offset(sll2, 4), Some(0xffff_f008), "the interface's index");
        assert_eq!(kernels_offset(sll2, 10), Some(0xffff_f004), "the packet's type");
        assert_eq!(kernels_offset(sll2, 29), Some(9), "the protocol of an IPv4 packet");
        assert_eq!(kernels_offset(sll2, 0xffff_f030), Some(0xffff_f030), "the VLAN tag is the kernel's already");
        assert_eq!(kernels_offset(sll2, 12), None, "the link-layer address is in libpcap's header alone");
        assert_eq!(kernels_offset(LinkType::LINUX_SLL, 14), Some(0xffff_f000));
        assert_eq!(kernels_offset(LinkType::LINUX_SLL, 25), Some(9));
        assert_eq!(kernels_offset(LinkType::ETHERNET, 12), Some(12));
    }

    #[test]
    fn jumps_and_constants_stay_as_they_are() {
        for code in [0x15, 0x06, 0x54, 0x05, 0x00] {
            let instruction = Instruction { code, jt: 3, jf: 4, k: 5 };
            assert_eq!(kernels(LinkType::LINUX_SLL2, instruction), Some(instruction));
        }
    }

    #[test]
    fn an_instruction_is_read_as_it_is_printed() {
        let read = parse("21 0 8 34525");
        assert_eq!(read, Some(Instruction { code: 0x15, jt: 0, jf: 8, k: 34525 }));
        assert_eq!(parse("21 0 8"), None);
        assert_eq!(parse("21 0 256 1"), None);
    }
}
