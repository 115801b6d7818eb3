//! Certificates (RFC 5280), as far as they tell why one is rejected.

/// What is needed of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is, as a distinguished name.
    pub subject: Box<str>,
    /// Who signed it.
    pub issuer: Box<str>,
    /// The hosts that it is for (subjectAltName: dNSName and iPAddress), the first 64.
    pub names: Box<[Box<str>]>,
    /// How many there are.
    pub names_count: usize,
    /// Since when it is valid: seconds since 1970.
    pub not_before: i64,
    /// Until when it is valid: seconds since 1970.
    pub not_after: i64,
    /// Whether subject and issuer are the same.
    pub self_signed: bool,
    /// Whether it may sign others (basicConstraints).
    pub is_authority: bool,
}
