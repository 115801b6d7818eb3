//! Where octets of an input stand: they were read, or are a part of a file that is mapped.

use std::ops::Deref;
use std::sync::Arc;

use super::mapped::Mapped;

/// Octets of an input.
#[derive(Default)]
pub struct Buffer {
    read: Vec<u8>,
    /// Then nothing was read.
    mapped: Option<Mapped>,
}

impl Buffer {
    /// The octets of a buffer of one's own, to be changed: what others have too, or is mapped, is copied.
    pub(super) fn own(buffer: &mut Arc<Self>) -> &mut Vec<u8> {
        let buffer = Arc::make_mut(buffer);
        if let Some(mapped) = buffer.mapped.take() {
            buffer.read = mapped.to_vec();
        }
        &mut buffer.read
    }

    /// The octets that were read, of one that nobody has any more.
    pub(super) fn into_read(self) -> Option<Vec<u8>> {
        if self.mapped.is_none() { Some(self.read) } else { None }
    }

    /// Whether octets that were looked at were gone, and are zeros instead.
    pub(super) fn is_broken(&self) -> bool {
        self.mapped.as_ref().is_some_and(Mapped::is_broken)
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(read: Vec<u8>) -> Self {
        Self { read, mapped: None }
    }
}

impl From<Mapped> for Buffer {
    fn from(mapped: Mapped) -> Self {
        Self { read: Vec::new(), mapped: Some(mapped) }
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        Self::from(self.to_vec())
    }
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.mapped {
            None => &self.read,
            Some(mapped) => mapped,
        }
    }
}
