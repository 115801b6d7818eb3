//! Which connections are followed where there is no time for all: those of whose ports a hash is small. The kernel's filter
//! can compute it as well, so that the others cost nothing.

/// A share of the connections, in 64ths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u8);

impl Share {
    /// All of them.
    pub const ALL: Self = Self(Self::PARTS);
    /// What a share is counted in.
    pub const PARTS: u8 = 64;
    /// What the sum of the ports is multiplied with, modulo 2^32. Neighbouring ports fall far apart.
    pub const FACTOR: u32 = 40_503;
    /// By how many bits the product is shifted.
    pub const SHIFT: u32 = 10;

    /// So many 64ths, of 1 to 64.
    #[must_use]
    pub fn of(parts: u8) -> Self {
        Self(parts.clamp(1, Self::PARTS))
    }

    /// How many 64ths.
    #[must_use]
    pub fn parts(self) -> u8 {
        self.0
    }

    /// Whether the connection between two ports is followed. It makes no difference which is whose.
    #[must_use]
    pub fn holds(self, one: u16, other: u16) -> bool {
        let product = (u32::from(one) + u32::from(other)).wrapping_mul(Self::FACTOR);
        (product >> Self::SHIFT) & u32::from(Self::PARTS - 1) < u32::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_about_as_many_connections_of_any_step_of_ports() {
        for step in [1, 2, 4, 16] {
            let ports = (32_768..60_000).step_by(step);
            let all = ports.clone().count();
            let followed = ports.filter(|port| Share::of(16).holds(*port, 8080)).count();
            assert!((all / 5..all / 3).contains(&followed), "{followed} of {all}, step {step}");
        }
        assert!(
            (0..=u16::MAX)
                .all(|port| Share::ALL.holds(port, 80) && Share::of(9).holds(port, 1) == Share::of(9).holds(1, port))
        );
    }

    #[test]
    fn a_smaller_share_is_part_of_a_greater_one() {
        for port in 1024..2048 {
            assert!(!Share::of(5).holds(port, 443) || Share::of(6).holds(port, 443));
        }
        assert_eq!((Share::of(0).parts(), Share::of(200)), (1, Share::ALL));
    }
}
