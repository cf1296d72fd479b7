//! Streams behind a compression, decompressed up to a cap.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::rc::Rc;

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, FrameHeaderError, ReadFrameHeaderError};

use crate::enrich::extract::{Budget, Failure, MIB};

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

impl Packing {
    /// By the first bytes.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, ..] => Some(Packing::Gzip),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some(Packing::Bzip2),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Packing::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Packing::Zstd),
            // A skippable frame, which parallel compressors write first.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Packing::Zstd),
            _ => None,
        }
    }

    /// As people call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Packing::Gzip => "GZ",
            Packing::Bzip2 => "BZ2",
            Packing::Xz => "XZ",
            Packing::Zstd => "ZST",
        }
    }

    /// How much is decompressed at most: what an old computer does in a third of a minute.
    fn most(self) -> u64 {
        match self {
            Packing::Gzip | Packing::Zstd => 2048 * MIB,
            Packing::Xz => 768 * MIB,
            Packing::Bzip2 => 256 * MIB,
        }
    }
}

/// What is behind a compression. Ends with an error where it is cut off, and says so: no parser takes that for an end.
pub(super) struct Unpacked<'a> {
    inner: Inner<'a>,
    /// Read once and put back.
    again: Cursor<Vec<u8>>,
    left: u64,
    ended_early: Rc<Cell<bool>>,
}

enum Inner<'a> {
    Gzip(Box<MultiGzDecoder<BufReader<&'a mut dyn Read>>>),
    Other(Box<dyn Read + 'a>),
}

impl<'a> Unpacked<'a> {
    pub(super) fn of(packing: Packing, source: &'a mut dyn Read, budget: Budget) -> Result<Self, Failure> {
        let source = BufReader::with_capacity(64 * 1024, source);
        let window = budget.inflated();
        let inner = match packing {
            Packing::Gzip => Inner::Gzip(Box::new(MultiGzDecoder::new(source))),
            Packing::Bzip2 => Inner::Other(Box::new(bzip2::bufread::MultiBzDecoder::new(source))),
            Packing::Xz => {
                let most_kb = u32::try_from(window / 1024).unwrap_or(u32::MAX);
                Inner::Other(Box::new(lzma_rust2::XzReader::new_mem_limit(source, true, most_kb)))
            }
            Packing::Zstd => Inner::Other(Box::new(Frames { source: Some(source), frame: None, window })),
        };
        Ok(Unpacked { inner, again: Cursor::default(), left: packing.most(), ended_early: Rc::default() })
    }

    /// Not compressed at all.
    pub(super) fn plain(source: &'a mut dyn Read) -> Self {
        let inner = Inner::Other(Box::new(source));
        Unpacked { inner, again: Cursor::default(), left: Packing::Gzip.most(), ended_early: Rc::default() }
    }

    /// The same with `head` put back.
    pub(super) fn again(self, head: Vec<u8>) -> Self {
        Unpacked { again: Cursor::new(head), ..self }
    }

    /// Set when the cap is reached.
    pub(super) fn ended_early(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.ended_early)
    }

    /// What the one file is called, where the compression tells.
    pub(super) fn file_name(&self) -> Option<&[u8]> {
        match &self.inner {
            Inner::Gzip(gzip) => gzip.header()?.filename(),
            Inner::Other(_) => None,
        }
    }
}

impl Read for Unpacked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let put_back = self.again.read(buffer)?;
        if put_back > 0 || buffer.is_empty() {
            return Ok(put_back);
        }
        if self.left == 0 {
            self.ended_early.set(true);
            return Err(io::Error::other("enough was decompressed"));
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = match &mut self.inner {
            Inner::Gzip(gzip) => gzip.read(&mut buffer[..most])?,
            Inner::Other(other) => other.read(&mut buffer[..most])?,
        };
        self.left -= read as u64;
        Ok(read)
    }
}

/// Zstandard frames one after the other; the decoder knows only one.
struct Frames<R: Read> {
    /// Between frames.
    source: Option<BufReader<R>>,
    frame: Option<StreamingDecoder<BufReader<R>, ruzstd::decoding::FrameDecoder>>,
    window: u64,
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                let read = frame.read(buffer)?;
                if read > 0 || buffer.is_empty() {
                    return Ok(read);
                }
                self.source = self.frame.take().map(StreamingDecoder::into_inner);
            }
            let Some(mut source) = self.source.take() else { return Ok(0) };
            if source.fill_buf()?.is_empty() {
                return Ok(0);
            }
            // The decoder swallows the source of a frame that is none, so what is to be skipped is looked for before.
            if let [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] = source.buffer() {
                skip(&mut source)?;
                self.source = Some(source);
                continue;
            }
            self.frame = Some(
                StreamingDecoder::new_with_max_window_size(source, self.window)
                    .map_err(|error| frame_error(&error))?,
            );
        }
    }
}

/// Four bytes of magic, four of length, and the rest.
fn skip(source: &mut impl Read) -> io::Result<()> {
    let mut head = [0; 8];
    source.read_exact(&mut head)?;
    let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    io::copy(&mut source.take(u64::from(length)), &mut io::sink())?;
    Ok(())
}

fn frame_error(error: &FrameDecoderError) -> io::Error {
    let kind = match error {
        FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::MagicNumberReadError(_)) => {
            io::ErrorKind::UnexpectedEof
        }
        FrameDecoderError::WindowSizeTooBig { .. }
        | FrameDecoderError::FailedToInitialize(FrameHeaderError::WindowTooBig { .. })
        | FrameDecoderError::FrameHeaderError(FrameHeaderError::WindowTooBig { .. }) => {
            io::ErrorKind::OutOfMemory
        }
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, error.to_string())
}

/// What an error of decompression says of the content.
pub(super) fn failure(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::OutOfMemory => {
            Failure::too_large(format!("it cannot be decompressed within the memory limit: {error}"))
        }
        _ => Failure::damaged(format!("it cannot be decompressed: {error}")),
    }
}
