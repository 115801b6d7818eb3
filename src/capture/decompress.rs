//! Decompression: in comes a compressed stream, out comes what it holds, with errors that name the compression. All members
//! of a gzip file and all frames of a zstd file are one stream. What was decoded before an error is delivered before it.

use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer, WriteBuf};
use zstd::stream::zio;
use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode;

/// What a gzip stream holds.
pub(super) fn gzip(raw: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    let decoder = MultiGzDecoder::new(BufReader::with_capacity(COMPRESSED_BYTES, raw));
    Box::new(Named { format: "gzip", decoder })
}

/// What a zstd stream holds: any number of frames, skippable ones among them (RFC 8878).
///
/// # Errors
///
/// Where there is no memory for a decoder.
pub(super) fn zstd(raw: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut decoder = Decoder::new()?;
    decoder.set_parameter(DParameter::WindowLogMax(MOST_WINDOW_LOG))?;
    let compressed = BufReader::with_capacity(COMPRESSED_BYTES, raw);
    let decoder = zio::Reader::new(compressed, InSteps { decoder, wanted: 0 });
    Ok(Box::new(Named { format: "zstd", decoder }))
}

/// A decoder whose errors are made sentences.
struct Named<D> {
    format: &'static str,
    decoder: D,
}

impl<D: Read> Read for Named<D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let format = self.format;
        self.decoder.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => io::Error::new(error.kind(), format!("the {format} stream is cut")),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => {
                io::Error::new(error.kind(), format!("the {format} stream is corrupt: {error}"))
            }
            _ => error,
        })
    }
}

/// A zstd decoder that is given a header or a block at a time: where a call of the library fails, what the same call decoded
/// before is lost.
struct InSteps {
    decoder: Decoder<'static>,
    /// Octets that the library asks for: what is left of a header or a block, and the header behind the block.
    wanted: usize,
}

impl Operation for InSteps {
    fn run<C: WriteBuf + ?Sized>(
        &mut self,
        input: &mut InBuffer<'_>,
        output: &mut OutBuffer<'_, C>,
    ) -> io::Result<usize> {
        let rest = input.src.get(input.pos()..).unwrap_or_default();
        // As few as a block's header has cannot end one block and begin to decode the next, whatever is wanted.
        let step = self.wanted.saturating_sub(BLOCK_HEADER).max(BLOCK_HEADER);
        let mut step = InBuffer::around(rest.get(..step).unwrap_or(rest));
        self.wanted = self.decoder.run(&mut step, output).map_err(zstd_error)?;
        input.set_pos(input.pos() + step.pos());
        Ok(self.wanted)
    }

    fn finish<C: WriteBuf + ?Sized>(&mut self, output: &mut OutBuffer<'_, C>, at_end: bool) -> io::Result<usize> {
        self.decoder.finish(output, at_end)
    }
}

/// The library's errors are codes.
fn zstd_error(error: io::Error) -> io::Error {
    let Some(code) = error.get_ref().and_then(|inner| inner.downcast_ref::<zstd::Error>()) else { return error };
    let explained = EXPLAINED.iter().find(|(known, ..)| code.is(*known));
    explained.map_or(error, |&(_, kind, sentence)| io::Error::new(kind, sentence))
}

/// Errors for which there are better words than the library's.
const EXPLAINED: [(ZSTD_ErrorCode, io::ErrorKind, &str); 6] = [
    (ZSTD_ErrorCode::ZSTD_error_prefix_unknown, io::ErrorKind::InvalidData, "no frame begins where one must"),
    (ZSTD_ErrorCode::ZSTD_error_corruption_detected, io::ErrorKind::InvalidData, "a block cannot be decoded"),
    (ZSTD_ErrorCode::ZSTD_error_checksum_wrong, io::ErrorKind::InvalidData, "the checksum of a frame is wrong"),
    (
        ZSTD_ErrorCode::ZSTD_error_frameParameter_windowTooLarge,
        io::ErrorKind::Unsupported,
        "the zstd stream needs a window of more than 128 MiB; unpack it first, with zstd -d --long=31",
    ),
    (
        ZSTD_ErrorCode::ZSTD_error_dictionary_wrong,
        io::ErrorKind::Unsupported,
        "the zstd stream needs a dictionary; unpack it first, with zstd -d -D",
    ),
    (
        ZSTD_ErrorCode::ZSTD_error_memory_allocation,
        io::ErrorKind::OutOfMemory,
        "no memory for the window of the zstd stream",
    ),
];

/// The window, which the decoder keeps, may be of 2 to this many octets: 128 MiB, as much as `zstd -d` takes without being asked.
const MOST_WINDOW_LOG: u32 = 27;
/// Octets of a block's header.
const BLOCK_HEADER: usize = 3;
/// Octets of compressed data read at once.
const COMPRESSED_BYTES: usize = 256 << 10;
