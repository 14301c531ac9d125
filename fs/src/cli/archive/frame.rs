//! The stream: frames that are checked one by one and in their order.

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use weft_common::checksum::crc64;
use weft_common::name::FileName;
use weft_common::time::Timestamp;
use weft_common::wire::NewInode;

const MAGIC: &[u8; 8] = b"WEFTSEND";
const FORMAT: u32 = 1;
/// Longest head: a path and the attributes of one inode.
const HEAD_BYTES_MAX: u32 = 1 << 20;
/// Longest body.
pub(super) const BODY_BYTES_MAX: u32 = 1 << 20;

/// A path below what is sent; empty for that itself.
pub(super) type Path = Vec<FileName>;

/// A state of a directory or file somewhere: what a stream makes, and what it builds on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// The volume's name, for people.
    pub volume: String,
    /// The volume's number, and when it was made in nanoseconds since 1970: together they are one volume's only.
    pub identity: (u32, i64),
    /// The path in the volume.
    pub path: Path,
    /// The version.
    pub version: u64,
}

/// What an inode has besides its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    /// Low 12 bits of `st_mode`.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Access time.
    pub accessed: Timestamp,
    /// Modification time.
    pub modified: Timestamp,
    /// Extended attributes, all of them.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// One step of building a tree. Each names what comes before it only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Frame {
    /// The first one.
    Start {
        /// What there is when all is done.
        to: State,
        /// What there has to be before; nothing if the stream is a whole tree.
        from: Option<State>,
    },
    /// What is there goes, a directory with all that is in it.
    Remove(Path),
    /// A directory is made, or gets these attributes.
    Directory(Path, Meta),
    /// A file is made, or an existing one changed; frames with its content follow.
    File {
        /// Where.
        path: Path,
        /// Its attributes.
        meta: Meta,
        /// Its size in the end.
        size: u64,
    },
    /// The body is the file's content from here on.
    Data {
        /// First byte.
        offset: u64,
    },
    /// Zeros.
    Hole {
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
    },
    /// Another name of a file.
    Link {
        /// The new name.
        path: Path,
        /// A name that it has.
        to: Path,
    },
    /// A symlink, pipe, socket or device is made.
    Other(Path, Meta, NewInode),
    /// The last one.
    End {
        /// Frames before this one.
        frames: u64,
    },
}

/// A stream that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum StreamError {
    /// Not our format.
    #[error("this is not a file that `weft send` made")]
    Foreign,
    /// A format of another release.
    #[error("the file has format {0}, this weft reads format {FORMAT}; receive it with the release that sent it")]
    Format(u32),
    /// Bytes are not what was written.
    #[error("the file is damaged at byte {offset}: {what}; nothing after that place can be trusted, send it again")]
    Damaged {
        /// Where the frame starts.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// It has no end of its own.
    #[error("the stream ends at byte {0} and more follows; receive one stream after the other")]
    Trailing(u64),
    /// It ends too early.
    #[error("the file ends at byte {0} in the middle of what was sent; send it again")]
    Cut(u64),
    /// The system failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// The checksum of a frame, which covers the one before it.
fn chain(before: u64, frame: &[u8]) -> u64 {
    let mut covered = before.to_le_bytes().to_vec();
    covered.extend_from_slice(&crc64(frame).to_le_bytes());
    crc64(&covered)
}

/// Writes a stream.
#[derive(Debug)]
pub(super) struct FrameWriter<W> {
    output: W,
    checksum: u64,
    frames: u64,
    /// Bytes written.
    pub bytes: u64,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// Writes the stream's beginning.
    pub(super) async fn new(mut output: W) -> Result<Self, StreamError> {
        output.write_all(MAGIC).await?;
        output.write_all(&FORMAT.to_le_bytes()).await?;
        Ok(Self { output, checksum: 0, frames: 0, bytes: 12 })
    }

    /// Writes a frame; `body` has at most [`BODY_BYTES_MAX`].
    pub(super) async fn put(&mut self, frame: &Frame, body: &[u8]) -> Result<(), StreamError> {
        let head = postcard::to_stdvec(frame).map_err(std::io::Error::other)?;
        let mut bytes = Vec::with_capacity(16 + head.len() + body.len());
        bytes.extend_from_slice(&(head.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(body);
        self.checksum = chain(self.checksum, &bytes);
        bytes.extend_from_slice(&self.checksum.to_le_bytes());
        self.output.write_all(&bytes).await?;
        self.frames += 1;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Ends the stream.
    pub(super) async fn finish(mut self) -> Result<(W, u64), StreamError> {
        let frames = self.frames;
        self.put(&Frame::End { frames }, &[]).await?;
        self.output.flush().await?;
        Ok((self.output, self.bytes))
    }
}

/// Reads a stream.
#[derive(Debug)]
pub(super) struct FrameReader<R> {
    input: R,
    checksum: u64,
    frames: u64,
    offset: u64,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads the stream's beginning.
    pub(super) async fn new(input: R) -> Result<Self, StreamError> {
        let mut reader = Self { input, checksum: 0, frames: 0, offset: 0 };
        let mut start = [0; 12];
        reader.fill(&mut start).await.map_err(|error| match error {
            StreamError::Cut(_) => StreamError::Foreign,
            other => other,
        })?;
        let [magic @ .., a, b, c, d] = start;
        if magic != *MAGIC {
            return Err(StreamError::Foreign);
        }
        match u32::from_le_bytes([a, b, c, d]) {
            FORMAT => Ok(reader),
            other => Err(StreamError::Format(other)),
        }
    }

    async fn fill(&mut self, bytes: &mut [u8]) -> Result<(), StreamError> {
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.input.read(rest).await? {
                0 => return Err(StreamError::Cut(self.offset)),
                count => (filled, self.offset) = (filled + count, self.offset + count as u64),
            }
        }
        Ok(())
    }

    /// The next frame and its body; after [`Frame::End`] there is none.
    pub(super) async fn next(&mut self) -> Result<(Frame, Vec<u8>), StreamError> {
        let offset = self.offset;
        let damaged = |what| StreamError::Damaged { offset, what };
        let mut lengths = [0; 8];
        self.fill(&mut lengths).await?;
        let [a, b, c, d, e, f, g, h] = lengths;
        let (head, body) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        if head > HEAD_BYTES_MAX || body > BODY_BYTES_MAX {
            return Err(damaged("a frame of impossible length"));
        }
        let mut bytes = lengths.to_vec();
        bytes.resize(8 + head as usize + body as usize, 0);
        self.fill(&mut bytes[8..]).await?;
        let mut checksum = [0; 8];
        self.fill(&mut checksum).await?;
        self.checksum = chain(self.checksum, &bytes);
        if checksum != self.checksum.to_le_bytes() {
            return Err(damaged("its checksum is another, or frames are missing before it"));
        }
        let body = bytes.split_off(8 + head as usize);
        let frame = postcard::from_bytes(&bytes[8..]).map_err(|_| damaged("a frame that this weft does not know"))?;
        if let Frame::End { frames } = frame
            && frames != self.frames
        {
            return Err(damaged("another number of frames than was sent"));
        }
        if matches!(frame, Frame::End { .. }) && self.input.read(&mut [0]).await? > 0 {
            return Err(StreamError::Trailing(self.offset));
        }
        self.frames += 1;
        Ok((frame, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn stream() -> Vec<u8> {
        let mut writer = FrameWriter::new(Vec::new()).await.unwrap();
        for offset in 0..20 {
            writer.put(&Frame::Data { offset }, &[offset as u8; 100]).await.unwrap();
        }
        writer.finish().await.unwrap().0
    }

    async fn read(bytes: &[u8]) -> Result<usize, StreamError> {
        let mut reader = FrameReader::new(bytes).await?;
        let mut count = 0;
        while !matches!(reader.next().await?.0, Frame::End { .. }) {
            count += 1;
        }
        Ok(count)
    }

    #[tokio::test]
    async fn what_was_written_is_read() {
        assert_eq!(read(&stream().await).await.unwrap(), 20);
    }

    #[tokio::test]
    async fn what_follows_the_end_is_not_passed_over() {
        let two = [stream().await, stream().await].concat();
        let error = read(&two).await.unwrap_err();
        assert!(error.to_string().contains("one stream after the other"), "{error}");
    }

    #[tokio::test]
    async fn every_flipped_byte_and_every_cut_is_found() {
        let whole = stream().await;
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x10;
            assert!(read(&damaged).await.is_err(), "byte {place}");
            match read(&whole[..place]).await {
                Err(StreamError::Cut(end)) => assert_eq!(end, place as u64),
                other => assert!(place < 12 && matches!(other, Err(StreamError::Foreign)), "cut at {place}: {other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn frames_that_are_missing_doubled_or_swapped_are_found() {
        let whole = stream().await;
        let size = (whole.len() - 12 - 18) / 20;
        let frames: Vec<&[u8]> = whole[12..].chunks(size).collect();
        let rebuilt =
            |order: &[usize]| [&whole[..12], &order.iter().map(|index| frames[*index]).collect::<Vec<_>>().concat()].concat();
        let order: Vec<usize> = (0..frames.len()).collect();
        assert!(read(&rebuilt(&order)).await.is_ok());
        let without: Vec<_> = order.iter().copied().filter(|index| *index != 7).collect();
        let doubled: Vec<_> = order.iter().copied().flat_map(|index| if index == 7 { vec![7, 7] } else { vec![index] }).collect();
        let mut swapped = order.clone();
        swapped.swap(3, 4);
        for wrong in [without, doubled, swapped] {
            assert!(matches!(read(&rebuilt(&wrong)).await, Err(StreamError::Damaged { .. })), "{wrong:?}");
        }
    }
}
