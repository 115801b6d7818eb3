//! Decompression: in comes a compressed stream, out comes what it holds, with errors that name the compression. All members
//! of a gzip file and all frames of a zstd file are one stream. What was decoded before an error is delivered before it.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// What a gzip stream holds.
pub(super) fn gzip(raw: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    let decoder = MultiGzDecoder::new(BufReader::with_capacity(COMPRESSED_BYTES, raw));
    Box::new(Named { format: "gzip", decoder })
}

/// What a zstd stream holds.
pub(super) fn zstd(raw: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    let decoder = Zstd {
        compressed: BufReader::with_capacity(COMPRESSED_BYTES, raw),
        frame: FrameDecoder::new(),
        failure: None,
        at_end: false,
    };
    Box::new(Named { format: "zstd", decoder })
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

/// RFC 8878: any number of frames, skippable ones among them.
struct Zstd<R> {
    compressed: R,
    frame: FrameDecoder,
    /// Comes after what was decoded before it.
    failure: Option<io::Error>,
    at_end: bool,
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let octets = self.frame.read(buffer)?;
            if octets > 0 || buffer.is_empty() {
                return Ok(octets);
            }
            if let Some(failure) = self.failure.take() {
                self.at_end = true;
                return Err(failure);
            }
            if self.at_end {
                return Ok(0);
            }
            if let Err(failure) = self.decode() {
                self.failure = Some(failure);
                self.release();
            }
        }
    }
}

impl<R: BufRead> Zstd<R> {
    /// Decodes one block, or steps to the next frame.
    fn decode(&mut self) -> io::Result<()> {
        if !self.frame.is_finished() {
            return match self.frame.decode_blocks(&mut self.compressed, BlockDecodingStrategy::UptoBlocks(1)) {
                Ok(_) => Ok(()),
                Err(error) => Err(zstd_error(error)),
            };
        }
        if let Some(declared) = self.frame.get_checksum_from_data()
            && self.frame.get_calculated_checksum() != Some(declared)
        {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum of a frame is wrong"));
        }
        if self.compressed.fill_buf()?.is_empty() {
            self.at_end = true;
            return Ok(());
        }
        match self.frame.reset(&mut self.compressed) {
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                let skipped = io::copy(&mut self.compressed.by_ref().take(length.into()), &mut io::sink())?;
                if skipped == u64::from(length) { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
            }
            Err(error) => Err(zstd_error(error)),
            Ok(()) => Ok(()),
        }
    }

    /// Makes the decoder give away what it holds back for later blocks to refer to, which will not come: an empty last
    /// block, of type raw, ends the frame.
    fn release(&mut self) {
        const LAST_BLOCK: [u8; 3] = [1, 0, 0];
        const CHECKSUM: [u8; 4] = [0; 4];
        if !self.frame.is_finished() {
            let end = LAST_BLOCK.chain(CHECKSUM.as_slice());
            // Where even this fails nothing more can be had.
            let _ = self.frame.decode_blocks(end, BlockDecodingStrategy::UptoBlocks(1));
        }
    }
}

/// The decoder wraps the end of its input in errors of every step.
fn zstd_error(error: FrameDecoderError) -> io::Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if inner.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::UnexpectedEof) {
            return io::ErrorKind::UnexpectedEof.into();
        }
        cause = inner.source();
    }
    let explained = match error {
        FrameDecoderError::WindowSizeTooBig { requested, .. } => {
            format!(
                "a frame needs a window of {requested} bytes, too large for here; unpack it first, with zstd -d --long=31"
            )
        }
        FrameDecoderError::DictNotProvided { dict_id } => {
            format!("it needs dictionary {dict_id}; unpack it first, with zstd -d -D")
        }
        FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::BadMagicNumber(_)) => {
            "no frame begins where one must".to_owned()
        }
        other => other.to_string(),
    };
    io::Error::new(io::ErrorKind::InvalidData, explained)
}

/// Octets of compressed data read at once.
const COMPRESSED_BYTES: usize = 256 << 10;
