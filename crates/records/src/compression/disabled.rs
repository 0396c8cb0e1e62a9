//! Stands in for a codec whose cargo feature is off.

use super::Refusal;
use super::output::Output;

#[derive(Default)]
pub(super) struct Encoder;

impl Encoder {
    pub(super) fn compress(&mut self, _: i32, _: &[u8], _: &mut Vec<u8>) -> Result<(), Refusal> {
        Err(Refusal::Disabled)
    }
}

#[derive(Default)]
pub(super) struct Decoder;

impl Decoder {
    pub(super) fn decompress(&mut self, _: &[u8], _: &mut Output<'_>) -> Result<(), Refusal> {
        Err(Refusal::Disabled)
    }

    #[allow(dead_code, reason = "of LZ4 only")]
    pub(super) fn decompress_magic_0(
        &mut self,
        input: &[u8],
        output: &mut Output<'_>,
    ) -> Result<(), Refusal> {
        self.decompress(input, output)
    }
}
