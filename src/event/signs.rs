//! Which fields stand in a request that only certain products write.

/// A set of such fields. Two octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs(u16);

impl Signs {
    /// `CF-Ray`: Cloudflare's edge.
    pub const CF_RAY: Self = Self(1);
    /// Cloudflare's fields with names as Go's library writes them, `Cf-Ray`: a program in Go passed them on.
    pub const CF_IN_GO: Self = Self(1 << 1);
    /// `CF-Connecting-IP` names the client that the last element of X-Forwarded-For names: nobody added one since.
    pub const CF_LAST: Self = Self(1 << 2);
    /// `Cf-Warp-Tag-…`: Cloudflare's tunnel.
    pub const CF_WARP_TAG: Self = Self(1 << 3);
    /// `X-Amzn-Trace-Id` with a root: an Application Load Balancer, or whoever passed it on.
    pub const AMZN_TRACE: Self = Self(1 << 4);
    /// `X-Amz-Cf-Id`: CloudFront.
    pub const AMZ_CF_ID: Self = Self(1 << 5);
    /// `X-AppGW-Trace-Id`: Application Gateway v2.
    pub const APPGW_TRACE: Self = Self(1 << 6);
    /// `X-Original-Host`: Application Gateway, and others.
    pub const ORIGINAL_HOST: Self = Self(1 << 7);
    /// `X-Azure-FDID`: Front Door.
    pub const AZURE_FDID: Self = Self(1 << 8);
    /// The last element of Via is `1.1 google`.
    pub const VIA_GOOGLE: Self = Self(1 << 9);
    /// `Fastly-Client-IP` or `Fastly-FF`.
    pub const FASTLY: Self = Self(1 << 10);
    /// `X-Real-IP`, `X-Forwarded-Server`, or a Via whose last element is another's: what the products above do not write.
    pub const OTHER_HOP: Self = Self(1 << 11);
    /// `X-Forwarded-Host`.
    pub const FORWARDED_HOST: Self = Self(1 << 12);
    /// Made for no client: the `User-Agent` is a health prober's, or the Host that of Envoy's copy for a mirror.
    pub const ASIDE: Self = Self(1 << 13);

    /// Whether all of `other` are among them.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// With those of `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
