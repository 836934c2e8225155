// SPDX-License-Identifier: GPL-2.0
//! Frames: how a message and its raw bytes are laid out in the stream.
//!
//! ```text
//!   u32 length of the message | u32 length of the blob | message (JSON) | blob
//! ```
//!
//! Numbers are little endian.

use serde::{de::DeserializeOwned, Serialize};
use std::{fmt, io};

/// Longest message or blob; a longer one means that the stream went out of step.
pub const MAX: usize = 64 << 20;

const HEAD: usize = 8;

/// Lays out one frame.
///
/// # Errors
///
/// When the message cannot be serialized, or a part is longer than [`MAX`].
pub fn encode<T: Serialize>(message: &T, blob: &[u8]) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(message)?;
    let mut bytes = Vec::with_capacity(HEAD + json.len() + blob.len());
    for part in [json.as_slice(), blob] {
        match u32::try_from(part.len()) {
            Ok(length) if part.len() <= MAX => bytes.extend(length.to_le_bytes()),
            _ => return Err(out_of_step(part.len())),
        }
    }
    bytes.extend(&json);
    bytes.extend(blob);
    Ok(bytes)
}

fn out_of_step(length: usize) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("a frame part of {length} bytes: the stream is out of step"),
    )
}

/// Puts frames together again from a stream that arrives in pieces.
#[derive(Default)]
pub struct Decoder {
    bytes: Vec<u8>,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decoder({} bytes)", self.bytes.len())
    }
}

impl Decoder {
    /// Adds the next piece of the stream.
    pub fn push(&mut self, piece: &[u8]) {
        self.bytes.extend(piece);
    }

    /// Takes out the next frame, if it is complete.
    ///
    /// # Errors
    ///
    /// When the bytes are no frame, or the message is not a `T`. The stream
    /// cannot be used any more then.
    pub fn next_frame<T: DeserializeOwned>(&mut self) -> io::Result<Option<(T, Vec<u8>)>> {
        let (Some(json), Some(blob)) = (self.length_at(0), self.length_at(4)) else {
            return Ok(None);
        };
        if json > MAX || blob > MAX {
            return Err(out_of_step(json.max(blob)));
        }
        let end = HEAD + json + blob;
        let Some(frame) = self.bytes.get(HEAD..end) else {
            return Ok(None);
        };
        let (message, raw) = frame.split_at(json);
        let message = serde_json::from_slice(message)?;
        let raw = raw.to_vec();
        self.bytes.drain(..end);
        Ok(Some((message, raw)))
    }

    fn length_at(&self, offset: usize) -> Option<usize> {
        let bytes = self.bytes.get(offset..offset + 4)?;
        let length = u32::from_le_bytes(bytes.try_into().ok()?);
        usize::try_from(length).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::FromGuest;

    #[test]
    fn frames_survive_being_cut_anywhere() {
        let hello = FromGuest::Hello { version: 7 };
        let output = FromGuest::Output { job: 3 };
        let mut stream = encode(&hello, b"").unwrap();
        stream.extend(encode(&output, b"raw \xff\x00 bytes").unwrap());
        for cut in 0..stream.len() {
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for piece in [&stream[..cut], &stream[cut..]] {
                decoder.push(piece);
                while let Some(frame) = decoder.next_frame::<FromGuest>().unwrap() {
                    seen.push(frame);
                }
            }
            let expected = [
                (hello.clone(), Vec::new()),
                (output.clone(), b"raw \xff\x00 bytes".to_vec()),
            ];
            assert_eq!(seen, expected);
        }
    }

    #[test]
    fn nonsense_is_an_error() {
        let mut decoder = Decoder::default();
        decoder.push(&[0xff; 16]);
        assert!(decoder.next_frame::<FromGuest>().is_err());
    }
}
